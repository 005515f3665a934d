//! A schema file as the Rust expression of a [`SchemaTable`](crate::SchemaTable).

use std::fmt::{self, Write as _};

use serde_json::Value;

use super::file::{Default, File, FileError, Kind, Parameter, Rule};

/// The whole table.
pub(super) fn table(file: &File) -> Result<String, FileError> {
    let mut out = String::new();
    let sections = file.sections.iter().map(|it| {
        format!(
            "::llem_sdk::SectionDef {{ id: {:?}, title: {:?}, doc: {:?} }},\n",
            it.id, it.title, it.doc
        )
    });
    let parameters = file.parameters.iter().map(|it| {
        let known = file.sections.iter().any(|section| {
            it.path.strip_prefix(&section.id).is_some_and(|rest| rest.starts_with('.'))
        });
        if known {
            parameter(it)
                .map_err(|error| FileError::new(format!("parameter `{}`: {error}", it.path)))
        } else {
            Err(FileError::new(format!("parameter `{}` is in no section of the file", it.path)))
        }
    });
    let rules = file
        .rules
        .iter()
        .map(|it| rule(it).map_err(|error| FileError::new(format!("rule `{}`: {error}", it.id))));
    let unknown = if file.pass_through { "PassThrough" } else { "Reject" };
    write!(
        out,
        "::llem_sdk::SchemaTable {{\nrelease: {:?},\nsections: &[\n{}],\nparameters: &[\n{}],\nrules: &[\n{}],\n\
         code_rules: {},\nunknown: ::llem_sdk::UnknownPolicy::{unknown},\n}}\n",
        file.release,
        sections.collect::<String>(),
        parameters.collect::<Result<String, _>>()?,
        rules.collect::<Result<String, _>>()?,
        file.code_rules,
    )
    .expect("a string takes everything");
    Ok(out)
}

fn parameter(it: &Parameter) -> Result<String, FileError> {
    let phase = match it.phase.as_deref() {
        None if it.request.is_some() => "Request",
        None | Some("load") => "Load",
        Some("request") => "Request",
        Some("build") => "Build",
        Some(other) => {
            return Err(unknown("phase", other, "`build`, `load` or `request`"));
        }
    };
    let modes = it.modes.iter().map(|mode| match mode.as_str() {
        "server" => Ok("::llem_sdk::Mode::Server, "),
        "offline" => Ok("::llem_sdk::Mode::Offline, "),
        other => Err(unknown("mode", other, "`server` or `offline`")),
    });
    let suggested: String = it
        .suggest
        .iter()
        .map(|value| Ok(format!("{}, ", typed(value, it.kind)?)))
        .collect::<Result<_, FileError>>()?;
    Ok(format!(
        "::llem_sdk::Param {{ path: {:?}, types: &[{}], nullable: {}, default: {}, doc: {:?}, unit: {:?}, \
         phase: ::llem_sdk::Phase::{phase}, modes: &[{}], native: {}, energy_relevant: {}, suggested: \
         &[{suggested}], since: {:?}, until: {:?}, deprecated: {:?}, source: {:?} }},\n",
        it.path,
        kind(it, it.kind)?,
        it.nullable,
        default(it)?,
        it.doc,
        it.unit,
        modes.collect::<Result<String, _>>()?,
        native(it)?,
        it.energy,
        it.since,
        it.until,
        it.deprecated,
        it.source,
    ))
}

fn kind(it: &Parameter, kind_of: Kind) -> Result<String, FileError> {
    let scale = match it.scale.as_deref() {
        None | Some("linear") => "Linear",
        Some("log") => "Log",
        Some("pow2") => "Pow2",
        Some(other) => return Err(unknown("scale", other, "`linear`, `log` or `pow2`")),
    };
    let integer = |value: &Option<Value>| match value {
        None => Ok(None),
        Some(value) => value
            .as_i64()
            .map(|it| Some(Literal(it.into())))
            .ok_or_else(|| wrong(value, "an integer")),
    };
    let number = |value: &Option<Value>| match value {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(|it| Some(Literal(it.into())))
            .ok_or_else(|| wrong(value, "a number")),
    };
    Ok(match kind_of {
        Kind::Boolean => "::llem_sdk::Type::Boolean".to_owned(),
        Kind::Object => "::llem_sdk::Type::Object".to_owned(),
        Kind::Integer => format!(
            "::llem_sdk::Type::Integer {{ min: {:?}, max: {:?}, multiple_of: {:?}, scale: ::llem_sdk::Scale::{scale} }}",
            integer(&it.min)?,
            integer(&it.max)?,
            it.multiple_of.map(|it| Literal(it.into()))
        ),
        Kind::Number => format!(
            "::llem_sdk::Type::Number {{ min: {:?}, max: {:?}, exclusive_min: false, exclusive_max: false, \
             scale: ::llem_sdk::Scale::{scale} }}",
            number(&it.min)?,
            number(&it.max)?
        ),
        Kind::Text => format!(
            "::llem_sdk::Type::Text {{ pattern: {:?}, max_len: None, format: None }}",
            it.pattern
        ),
        Kind::Choice if it.choices.is_empty() => {
            return Err(FileError::new("a choice needs `choices`"));
        }
        Kind::Choice => {
            let choices = it
                .choices
                .iter()
                .map(|choice| Ok(format!("({}, {:?}), ", val(&choice.value)?, choice.doc)));
            format!(
                "::llem_sdk::Type::Values(&[{}])",
                choices.collect::<Result<String, FileError>>()?
            )
        }
        Kind::List => match it.items {
            None | Some(Kind::List) => {
                return Err(FileError::new(
                    "a list needs `items`, the type of each, which is no list",
                ));
            }
            Some(item) => format!(
                "::llem_sdk::Type::Items {{ item: &{}, min: None, max: None }}",
                kind(it, item)?
            ),
        },
    })
}

fn default(it: &Parameter) -> Result<String, FileError> {
    Ok(match &it.default {
        Default::Required(true) => "::llem_sdk::Fallback::Required".to_owned(),
        Default::Required(false) => {
            return Err(FileError::new("`default = { required = false }` says nothing"));
        }
        Default::Engine(note) => format!("::llem_sdk::Fallback::Engine({note:?})"),
        Default::Value(value) => format!("::llem_sdk::Fallback::Fixed({})", typed(value, it.kind)?),
    })
}

fn native(it: &Parameter) -> Result<String, FileError> {
    let named = |name: &str, value: &Option<String>| {
        value.as_ref().map(|it| format!("::llem_sdk::Native::{name}({it:?})"))
    };
    let all = [
        named("Flag", &it.flag),
        named("Switch", &it.switch),
        it.on_off.as_ref().map(|(on, off)| format!("::llem_sdk::Native::OnOff({on:?}, {off:?})")),
        named("Comma", &it.comma),
        named("Repeat", &it.repeat),
        named("Words", &it.words),
        named("Field", &it.request),
        named("Field", &it.field),
        named("Env", &it.env),
    ];
    let mut given = all.into_iter().flatten();
    let first = given.next().unwrap_or_else(|| "::llem_sdk::Native::None".to_owned());
    match given.next() {
        None => Ok(first),
        Some(_) => Err(FileError::new("it reaches the engine in more than one way")),
    }
}

fn rule(it: &Rule) -> Result<String, FileError> {
    let severity = match it.severity.as_str() {
        "error" => "Error",
        "warning" => "Warning",
        "coerce" => "Coerce",
        "dormant" => "Dormant",
        other => {
            return Err(unknown("severity", other, "`error`, `warning`, `coerce` or `dormant`"));
        }
    };
    let unset = it
        .unset
        .iter()
        .map(|path| Ok(format!("::llem_sdk::EffectDef {{ path: {path:?}, becomes: None }}, ")));
    let set = it.set.iter().map(|(path, value)| {
        let value = val(value)?;
        Ok(format!("::llem_sdk::EffectDef {{ path: {path:?}, becomes: Some({value}) }}, "))
    });
    Ok(format!(
        "::llem_sdk::RuleDef {{ id: {:?}, severity: ::llem_sdk::Severity::{severity}, when: {:?}, effects: \
         &[{}], message: {:?}, source: {:?} }},\n",
        it.id,
        it.when,
        unset.chain(set).collect::<Result<String, FileError>>()?,
        it.message,
        it.source
    ))
}

/// A value of a parameter: `1` is a number where numbers are wanted.
fn typed(value: &Value, kind: Kind) -> Result<String, FileError> {
    match (kind, value.as_f64()) {
        (Kind::Number, Some(number)) => {
            Ok(format!("::llem_sdk::Val::Num({:?})", Literal(number.into())))
        }
        _ => val(value),
    }
}

fn val(value: &Value) -> Result<String, FileError> {
    let inner = match value {
        Value::Null => return Ok("::llem_sdk::Val::Null".to_owned()),
        Value::Bool(it) => format!("Bool({it})"),
        Value::Number(it) => match (it.as_i64(), it.as_f64()) {
            (Some(it), _) => format!("Int({:?})", Literal(it.into())),
            (None, Some(it)) if it.is_finite() => format!("Num({:?})", Literal(it.into())),
            _ => return Err(wrong(value, "a finite number")),
        },
        Value::String(it) => format!("Text({it:?})"),
        Value::Array(_) | Value::Object(_) => format!("Json({:?})", value.to_string()),
    };
    Ok(format!("::llem_sdk::Val::{inner}"))
}

/// A number as Rust's lints like to read it.
struct Literal(serde_json::Value);

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(integer) = self.0.as_i64() else {
            let number = self.0.as_f64().unwrap_or_default();
            return if 1e5 <= number.abs() {
                write!(f, "{number:e}")
            } else {
                write!(f, "{number:?}")
            };
        };
        if integer < 0 {
            f.write_str("-")?;
        }
        let digits = integer.unsigned_abs().to_string();
        for (index, digit) in digits.char_indices() {
            if index > 0 && (digits.len() - index) % 3 == 0 && digits.len() > 5 {
                f.write_str("_")?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

fn unknown(what: &str, found: &str, allowed: &str) -> FileError {
    FileError::new(format!("{what} `{found}` is unknown; it is {allowed}"))
}

fn wrong(found: &Value, wanted: &str) -> FileError {
    FileError::new(format!("`{found}` is not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::super::{of_json, of_toml};

    const SECTION: &str = "release = \"1\"\n[[section]]\nid = \"a\"\ntitle = \"A\"\ndoc = \"A.\"\n";

    #[test]
    fn faults_say_which_parameter_and_what_is_allowed() {
        for (row, expected) in [
            ("path = \"b.x\"\ntype = \"boolean\"", "parameter `b.x` is in no section of the file"),
            ("path = \"a.x\"\ntype = \"choice\"", "parameter `a.x`: a choice needs `choices`"),
            ("path = \"a.x\"\ntype = \"list\"", "parameter `a.x`: a list needs `items`"),
            ("path = \"a.x\"\ntype = \"integer\"\nmin = 0.5", "`0.5` is not an integer"),
            ("path = \"a.x\"\ntype = \"text\"\nphase = \"late\"", "phase `late` is unknown"),
            ("path = \"a.x\"\ntype = \"text\"\nflag = \"--x\"\nenv = \"X\"", "more than one way"),
            ("path = \"a.x\"\ntype = \"string\"", "unknown variant `string`"),
        ] {
            let text = format!(
                "{SECTION}[[parameter]]\n{row}\ndefault = {{ engine = \"\" }}\ndoc = \"X.\"\n"
            );
            let error = of_toml(&text).expect_err(row).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn json_and_toml_say_the_same() {
        let toml = format!(
            "{SECTION}[[rule]]\nid = \"a.r\"\nseverity = \"coerce\"\nwhen = \"a.x == 1\"\nmessage = \"M.\"\n\
             set = {{ \"a.x\" = 2 }}\n"
        );
        let json = r#"{"release": "1", "section": [{"id": "a", "title": "A", "doc": "A."}],
            "rule": [{"id": "a.r", "severity": "coerce", "when": "a.x == 1", "message": "M.", "set": {"a.x": 2}}]}"#;
        let (toml, json) = (of_toml(&toml).expect("good"), of_json(json).expect("good"));
        assert_eq!(toml, json);
        assert!(
            toml.contains(r#"EffectDef { path: "a.x", becomes: Some(::llem_sdk::Val::Int(2)) }"#)
        );
    }
}
