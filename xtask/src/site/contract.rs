//! The page on the contract between host and plugins, item by item, from `wit/`.

use std::path::Path;

use anyhow::Context as _;
use wit_parser::{
    Docs, Function, Interface, Resolve, Stability, Type, TypeDef, TypeDefKind, TypeId,
};

use super::{cell, code};

/// Every function and type of every interface.
pub(super) fn page(folder: &Path) -> anyhow::Result<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(folder).context("reading the contract")?;
    let package = &resolve.packages[package];
    let mut page = Contract { resolve: &resolve, text: String::new() };
    page.line(format!(
        "# The contract\n\nFrom `wit/`: `{}`. [Plugins](../plugins.md) explains it, and how it changes.",
        package.name
    ));
    for id in package.worlds.values() {
        let world = &resolve.worlds[*id];
        page.line(format!("\n## world `{}`\n\n{}", world.name, prose(&world.docs)));
    }
    for (name, id) in &package.interfaces {
        page.interface(name, &resolve.interfaces[*id]);
    }
    Ok(page.text)
}

struct Contract<'a> {
    resolve: &'a Resolve,
    text: String,
}

impl Contract<'_> {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text += line.as_ref();
        self.text.push('\n');
    }

    fn interface(&mut self, name: &str, of: &Interface) {
        self.line(format!("\n## interface `{name}`\n\n{}", prose(&of.docs)));
        for function in of.functions.values() {
            self.function(function);
        }
        for (name, id) in &of.types {
            self.named_type(name, &self.resolve.types[*id]);
        }
    }

    fn function(&mut self, of: &Function) {
        let parameters: Vec<String> =
            of.params.iter().map(|it| format!("{}: {}", it.name, self.kind(&it.ty))).collect();
        let result = of.result.map(|it| format!(" -> {}", self.kind(&it))).unwrap_or_default();
        self.line(format!(
            "\n### `{}`\n\n```text\n{}: func({}){result}\n```\n\n{}{}",
            of.name,
            of.name,
            parameters.join(", "),
            prose(&of.docs),
            since(&of.stability)
        ));
    }

    fn named_type(&mut self, name: &str, of: &TypeDef) {
        if let TypeDefKind::Type(Type::Id(id)) = &of.kind
            && self.resolve.types[*id].owner != of.owner
        {
            // `use` of another interface's type, which has a section there.
            return;
        }
        let word = match of.kind {
            TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_) => of.kind.as_str(),
            _ => "type",
        };
        self.line(format!("\n### {word} `{name}`\n\n{}", prose(&of.docs)));
        let rows: Vec<(String, String, String)> = match &of.kind {
            TypeDefKind::Record(record) => {
                let each = record.fields.iter();
                each.map(|it| (it.name.clone(), self.kind(&it.ty), about(&it.docs))).collect()
            }
            TypeDefKind::Variant(variant) => {
                let kind = |ty: &Option<Type>| ty.map(|it| self.kind(&it)).unwrap_or_default();
                let each = variant.cases.iter();
                each.map(|it| (it.name.clone(), kind(&it.ty), about(&it.docs))).collect()
            }
            TypeDefKind::Enum(choices) => {
                let each = choices.cases.iter();
                each.map(|it| (it.name.clone(), String::new(), about(&it.docs))).collect()
            }
            TypeDefKind::Flags(flags) => {
                let each = flags.flags.iter();
                each.map(|it| (it.name.clone(), String::new(), about(&it.docs))).collect()
            }
            TypeDefKind::Type(other) => {
                return self.line(format!("\nThe same as {}.", code(&self.kind(other))));
            }
            _ => return self.line(format!("\n{}", code(&self.structure(of)))),
        };
        self.line("\n| name | type | meaning |\n|---|---|---|");
        for (name, kind, about) in rows {
            let kind = if kind.is_empty() { kind } else { code(&kind) };
            self.line(format!("| `{name}` | {kind} | {about} |"));
        }
    }

    /// A type as the contract writes it.
    fn kind(&self, of: &Type) -> String {
        match of {
            Type::Id(id) => self.defined(*id),
            Type::String => "string".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    fn defined(&self, id: TypeId) -> String {
        let of = &self.resolve.types[id];
        of.name.clone().unwrap_or_else(|| self.structure(of))
    }

    fn structure(&self, of: &TypeDef) -> String {
        let each =
            |types: &[Type]| types.iter().map(|it| self.kind(it)).collect::<Vec<_>>().join(", ");
        match &of.kind {
            TypeDefKind::Option(inner) => format!("option<{}>", self.kind(inner)),
            TypeDefKind::List(inner) => format!("list<{}>", self.kind(inner)),
            TypeDefKind::Tuple(tuple) => format!("tuple<{}>", each(&tuple.types)),
            TypeDefKind::Result(result) => {
                let part =
                    |it: &Option<Type>| it.map_or_else(|| "_".to_owned(), |it| self.kind(&it));
                format!("result<{}, {}>", part(&result.ok), part(&result.err))
            }
            other => other.as_str().to_owned(),
        }
    }
}

/// Documentation as paragraphs.
fn prose(docs: &Docs) -> String {
    let text = docs.contents.as_deref().unwrap_or_default();
    text.trim().split("\n\n").map(|it| it.replace('<', "&lt;")).collect::<Vec<_>>().join("\n\n")
}

fn about(docs: &Docs) -> String {
    cell(docs.contents.as_deref().unwrap_or_default())
}

fn since(stability: &Stability) -> String {
    match stability {
        Stability::Stable { since, .. } => format!(" Since {since}."),
        _ => String::new(),
    }
}
