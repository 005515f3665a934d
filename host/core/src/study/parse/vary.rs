//! Reads what a study varies: `[sweep]`, `[[exclude]]` and `[[experiment]]`.

use std::ops::Range;

use super::{Parser, checked};
use crate::{
    backend::Value,
    study::{
        Vary,
        keys::{self, number},
        node::{self, Data, Entry, Node},
        problem::{Fault, listed, nearest},
        rules,
        sweep::{
            Alternative, Assignment, Column, Dimension, DimensionKind, Exclude, Explicit, Levels,
            Method, Sample, Spacing, Target,
        },
    },
};

impl Parser<'_> {
    pub(super) fn vary(
        &mut self,
        sweep: Option<&Entry>,
        exclude: Option<&Entry>,
        experiment: Option<&Entry>,
        named: bool,
    ) -> Vary {
        let mut vary = Vary::default();
        if let Some(entry) = sweep {
            self.sweep(entry, named, &mut vary);
        }
        for table in self.tables(experiment) {
            let mut explicit = Explicit { plugin: None, assignments: Vec::new() };
            for (path, key_span, node) in flat(table) {
                match (path.as_str(), &node.data) {
                    ("plugin", Data::Scalar(Value::Text(id))) => {
                        if !self.plugins.iter().any(|plugin| plugin.id == *id) {
                            let ids: Vec<String> =
                                self.plugins.iter().map(|plugin| plugin.id.clone()).collect();
                            let ids = || ids.iter().map(String::as_str);
                            let fault = Fault::new(format!(
                                "the study has no plugin `{id}`; it has {}",
                                listed(ids())
                            ))
                            .nearest(nearest(id, ids()));
                            self.fault(&node.span, fault);
                        }
                        explicit.plugin = Some(id.clone());
                    }
                    _ => explicit.assignments.extend(self.assignment(&path, key_span, node, named)),
                }
            }
            vary.explicit.push(explicit);
        }
        for table in self.tables(exclude) {
            vary.excludes.extend(self.exclude(table));
        }
        self.repeated(&vary);
        vary
    }

    /// The tables of an array of tables.
    fn tables<'b>(&mut self, entry: Option<&'b Entry>) -> Vec<&'b Node> {
        let Some(entry) = entry else { return Vec::new() };
        if let Data::Array(items) = &entry.node.data
            && items.iter().all(|item| item.entries().is_some())
        {
            return items.iter().collect();
        }
        let fault = Fault::new(format!("`{0}` is a list of tables: write `[[{0}]]`", entry.key));
        self.fault(&entry.node.span, fault);
        Vec::new()
    }

    fn sweep(&mut self, entry: &Entry, named: bool, vary: &mut Vary) {
        let Some(entries) = entry.node.entries() else {
            let fault = Fault::new(format!("`sweep` is a table, found {}", entry.node.kind()));
            return self.fault(&entry.node.span, fault);
        };
        for entry in entries {
            match entry.key.as_str() {
                "zip" => {
                    for table in self.tables(Some(entry)) {
                        vary.dimensions.extend(self.zip(table, named));
                    }
                }
                "variants" => {
                    for table in self.tables(Some(entry)) {
                        vary.dimensions.extend(self.variants(table, named));
                    }
                }
                "sample" => vary.sample = self.sample(entry),
                _ => {
                    let entries = std::slice::from_ref(entry);
                    let mut found = Vec::new();
                    node::flatten(entries, &mut |path, span, node| found.push((path, span, node)));
                    for (path, key_span, node) in found {
                        if let Some(column) = self.column(&path, key_span, node, named) {
                            vary.dimensions.push(Dimension {
                                name: path,
                                kind: DimensionKind::Columns(vec![column]),
                            });
                        }
                    }
                }
            }
        }
    }

    fn column(
        &mut self,
        path: &str,
        key_span: &Range<usize>,
        node: &Node,
        named: bool,
    ) -> Option<Column> {
        let target = self.target(path, key_span, named);
        let levels = match &node.data {
            Data::Array(items) if items.is_empty() => Err(Fault::new(format!("`{path}` has no values"))),
            Data::Array(items) => Ok(Levels::List(self.list(target.as_ref(), items))),
            Data::Table { entries, .. } => range(entries),
            Data::Scalar(_) => Err(Fault::new(format!(
                "`{path}`: expected a list of values, `{{ linear = [from, to], points = n }}`, `{{ log = [from, to], points = n }}`, \
                 `{{ log2 = [from, to] }}` or `{{ all = true }}`, found {}",
                node.kind()
            ))
            .help("a value that does not vary belongs in its own table")),
        };
        match (levels, target) {
            (Ok(levels), Some(target)) => {
                Some(Column { target, key_span: key_span.clone(), levels, span: node.span.clone() })
            }
            (Err(fault), _) => {
                self.fault(&node.span, fault);
                None
            }
            (Ok(_), None) => None,
        }
    }

    fn list(&mut self, target: Option<&Target>, items: &[Node]) -> Vec<(Value, Range<usize>)> {
        let mut values = Vec::new();
        for item in items {
            let value = match target {
                Some(Target::Study(path)) => match checked(path, &item.span, item) {
                    Ok((_, value)) => value,
                    Err((span, fault)) => {
                        self.fault(&span, fault);
                        continue;
                    }
                },
                _ => item.value(),
            };
            values.push((value, item.span.clone()));
        }
        values
    }

    fn zip(&mut self, table: &Node, named: bool) -> Option<Dimension> {
        let mut columns: Vec<Column> = Vec::new();
        let mut name = None;
        for (path, key_span, node) in flat(table) {
            match (path.as_str(), &node.data) {
                ("name", Data::Scalar(Value::Text(text))) => name = Some(text.clone()),
                _ => columns.extend(self.column(&path, key_span, node, named)),
            }
        }
        let mut lengths = columns.iter().map(|column| match &column.levels {
            Levels::List(values) => Some(values.len()),
            Levels::Spaced { .. } | Levels::Doubling { .. } | Levels::All => None,
        });
        let first = lengths.next();
        let equal = matches!(first, Some(Some(_))) && lengths.all(|length| Some(length) == first);
        if !equal {
            let sizes: Vec<String> = columns
                .iter()
                .map(|column| match &column.levels {
                    Levels::List(values) => format!("`{}` {}", column.target.path(), values.len()),
                    _ => format!("`{}` no list", column.target.path()),
                })
                .collect();
            let fault = Fault::new(format!(
                "a zip needs lists of the same length, found {}",
                sizes.join(", ")
            ));
            self.fault(&table.span, fault);
            return None;
        }
        let name = name.unwrap_or_else(|| {
            columns.iter().map(|column| column.target.path()).collect::<Vec<_>>().join("+")
        });
        Some(Dimension { name, kind: DimensionKind::Columns(columns) })
    }

    fn variants(&mut self, table: &Node, named: bool) -> Option<Dimension> {
        let (mut name, mut options) = ("variant".to_owned(), None);
        for entry in table.entries()? {
            match (entry.key.as_str(), &entry.node.data) {
                ("name", Data::Scalar(Value::Text(text))) => name.clone_from(text),
                ("options", Data::Array(items))
                    if items.iter().all(|item| item.entries().is_some()) =>
                {
                    options = Some(items);
                }
                ("name" | "options", _) => {
                    let allowed = if entry.key == "name" { "text" } else { "a list of tables" };
                    let fault = Fault::new(format!(
                        "`{}`: expected {allowed}, found {}",
                        entry.key,
                        entry.node.kind()
                    ));
                    self.fault(&entry.node.span, fault);
                    return None;
                }
                (other, _) => {
                    let fault = Fault::new(format!(
                        "unknown key `{other}`, allowed here: `name`, `options`"
                    ))
                    .nearest(nearest(other, ["name", "options"]));
                    self.fault(&entry.key_span, fault);
                }
            }
        }
        let Some(options) = options.filter(|options| !options.is_empty()) else {
            let fault = Fault::new("variants need `options = [{ … }, …]`");
            self.fault(&table.span, fault);
            return None;
        };
        let mut alternatives = Vec::new();
        for option in options {
            let mut alternative = Alternative { label: None, assignments: Vec::new() };
            for (path, key_span, node) in flat(option) {
                match (path.as_str(), &node.data) {
                    ("label", Data::Scalar(Value::Text(text))) => {
                        alternative.label = Some(text.clone());
                    }
                    _ => alternative
                        .assignments
                        .extend(self.assignment(&path, key_span, node, named)),
                }
            }
            alternatives.push(alternative);
        }
        Some(Dimension { name, kind: DimensionKind::Variants(alternatives) })
    }

    fn assignment(
        &mut self,
        path: &str,
        key_span: &Range<usize>,
        node: &Node,
        named: bool,
    ) -> Option<Assignment> {
        let target = self.target(path, key_span, named)?;
        let value = match &target {
            Target::Study(path) => match checked(path, key_span, node) {
                Ok((_, value)) => value,
                Err((span, fault)) => {
                    self.fault(&span, fault);
                    return None;
                }
            },
            Target::Plugin { .. } => node.value(),
        };
        Some(Assignment { target, key_span: key_span.clone(), value, span: node.span.clone() })
    }

    fn sample(&mut self, entry: &Entry) -> Option<Sample> {
        let (mut method, mut points) = (None, None);
        for it in entry.node.entries().unwrap_or_default() {
            match (it.key.as_str(), &it.node.data) {
                ("method", Data::Scalar(Value::Text(text))) => {
                    method = Method::NAMES
                        .into_iter()
                        .find(|(name, _)| name == text)
                        .map(|(_, method)| method);
                    if method.is_none() {
                        let names = || Method::NAMES.iter().map(|(name, _)| *name);
                        let fault = Fault::new(format!(
                            "`method`: expected one of {}, found \"{text}\"",
                            listed(names())
                        ))
                        .nearest(nearest(text, names()));
                        self.fault(&it.node.span, fault);
                        return None;
                    }
                }
                ("points", Data::Scalar(value)) => {
                    let count = keys::whole(value).and_then(|it| u32::try_from(it).ok());
                    points = count.filter(|it| (1..=65_536).contains(it));
                    if points.is_none() {
                        let fault = Fault::new(format!(
                            "`points`: expected an integer from 1 to 65536, found {value}"
                        ));
                        self.fault(&it.node.span, fault);
                        return None;
                    }
                }
                (other, _) => {
                    let fault = Fault::new(format!(
                        "unknown key `{other}`, allowed here: `method`, `points`"
                    ))
                    .nearest(nearest(other, ["method", "points"]));
                    self.fault(&it.key_span, fault);
                }
            }
        }
        match (method, points) {
            (Some(method), Some(points)) => Some(Sample { method, points }),
            (Some(Method::OneAtATime), None) => {
                Some(Sample { method: Method::OneAtATime, points: 0 })
            }
            _ => {
                let fault = Fault::new("a sample needs `method` and `points`")
                    .help("`method = \"sobol\"`, `points = 64`");
                self.fault(&entry.key_span, fault);
                None
            }
        }
    }

    fn exclude(&mut self, table: &Node) -> Option<Exclude> {
        let (mut when, mut why) = (None, None);
        for entry in table.entries()? {
            match (entry.key.as_str(), &entry.node.data) {
                ("when", Data::Scalar(Value::Text(text))) => {
                    when = Some((text.clone(), entry.node.span.clone()));
                }
                ("why", Data::Scalar(Value::Text(text))) => why = Some(text.clone()),
                (other @ ("when" | "why"), _) => {
                    let fault = Fault::new(format!(
                        "`{other}`: expected text, found {}",
                        entry.node.kind()
                    ));
                    self.fault(&entry.node.span, fault);
                }
                (other, _) => {
                    let fault =
                        Fault::new(format!("unknown key `{other}`, allowed here: `when`, `why`"))
                            .nearest(nearest(other, ["when", "why"]));
                    self.fault(&entry.key_span, fault);
                }
            }
        }
        let Some((when, span)) = when else {
            self.fault(
                &table.span,
                Fault::new("an exclusion needs `when`").help("`when = 'traffic.concurrency > 64'`"),
            );
            return None;
        };
        if let Err(error) = rules::check_syntax(&when) {
            self.fault(&span, Fault::new(format!("`when` is no CEL expression: {error}")));
            return None;
        }
        Some(Exclude { when, why, span })
    }

    /// A path in two dimensions: which value would hold?
    fn repeated(&mut self, vary: &Vary) {
        let mut seen: Vec<Target> = Vec::new();
        for dimension in &vary.dimensions {
            let mut own: Vec<(&Target, &Range<usize>)> = match &dimension.kind {
                DimensionKind::Columns(columns) => {
                    columns.iter().map(|it| (&it.target, &it.key_span)).collect()
                }
                DimensionKind::Variants(options) => options
                    .iter()
                    .flat_map(|it| &it.assignments)
                    .map(|it| (&it.target, &it.key_span))
                    .collect(),
            };
            own.sort_by_key(|(target, _)| *target);
            own.dedup_by_key(|(target, _)| *target);
            for (target, span) in own {
                if seen.contains(target) {
                    let fault = Fault::new(format!("`{}` is swept twice", target.path()))
                        .help("put the values into one axis, one zip or one list of variants");
                    self.fault(span, fault);
                } else {
                    seen.push(target.clone());
                }
            }
        }
    }
}

fn flat(table: &Node) -> Vec<(String, &Range<usize>, &Node)> {
    let mut found = Vec::new();
    node::flatten(table.entries().unwrap_or_default(), &mut |path, span, node| {
        found.push((path, span, node));
    });
    found
}

/// Reads `{ linear | log | log2 = [from, to], points }` or `{ all = true }`.
fn range(entries: &[Entry]) -> Result<Levels, Fault> {
    const KEYS: [&str; 5] = ["linear", "log", "log2", "all", "points"];
    let mut points = None;
    let mut form = None;
    for entry in entries {
        match (entry.key.as_str(), &entry.node.data) {
            ("points", Data::Scalar(value)) => {
                let count = keys::whole(value)
                    .and_then(|it| u32::try_from(it).ok())
                    .filter(|it| (2..=10_000).contains(it));
                points = Some(count.ok_or_else(|| {
                    Fault::new(format!(
                        "`points`: expected an integer from 2 to 10000, found {value}"
                    ))
                })?);
            }
            ("all", Data::Scalar(Value::Boolean(true))) => form = Some(("all", 0.0, 0.0)),
            (name @ ("linear" | "log" | "log2"), Data::Array(bounds)) => {
                let numbers: Vec<f64> =
                    bounds.iter().filter_map(|bound| number(&bound.value())).collect();
                match numbers[..] {
                    [from, to] if bounds.len() == 2 && from < to => form = Some((name, from, to)),
                    _ => {
                        return Err(Fault::new(format!(
                            "`{name}`: expected two numbers, the lower first"
                        )));
                    }
                }
            }
            (name, _) if KEYS.contains(&name) => {
                return Err(Fault::new(format!("`{name}`: found {}", entry.node.kind())).help(
                    "`{ linear = [16, 256], points = 4 }`, `{ log2 = [1, 256] }`, `{ all = true }`",
                ));
            }
            (other, _) => {
                return Err(Fault::new(format!(
                    "unknown key `{other}`, allowed here: {}",
                    listed(KEYS)
                ))
                .nearest(nearest(other, KEYS)));
            }
        }
    }
    match form {
        None => {
            Err(Fault::new(format!("expected one of {}", listed(["linear", "log", "log2", "all"]))))
        }
        Some(("log" | "log2", from, _)) if from <= 0.0 => {
            Err(Fault::new(format!("a logarithmic axis starts above 0, found {from}")))
        }
        Some(("linear", from, to)) => {
            Ok(Levels::Spaced { spacing: Spacing::Linear, from, to, points })
        }
        Some(("log", from, to)) => Ok(Levels::Spaced { spacing: Spacing::Log, from, to, points }),
        Some((name, ..)) if points.is_some() => {
            Err(Fault::new(format!("`{name}` takes no `points`")))
        }
        Some(("log2", from, to)) => Ok(Levels::Doubling { from, to }),
        Some(_) => Ok(Levels::All),
    }
}
