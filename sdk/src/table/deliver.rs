//! From a configuration to what the engine gets: arguments, fields, environment variables.

use super::{Fallback, Native, Param, SchemaTable};
use crate::{Arg, Config, EnvValue, EnvVar, Field, Phase, Value, arg};

impl SchemaTable {
    /// The listed parameters that a configuration gives, in the table's order, nulls left out.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// let config = Config::from_iter([("engine.size", 4)]);
    /// assert_eq!(TABLE.given(&config).count(), 1);
    /// ```
    pub fn given<'c>(
        &self,
        config: &'c Config,
    ) -> impl Iterator<Item = (&'static Param, &'c Value)> {
        self.parameters
            .iter()
            .filter_map(|param| Some((param, config.get(param.path)?)))
            .filter(|(_, value)| **value != Value::Null)
    }

    /// Settings whose path is not listed, for schemas that pass them through.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// let config = Config::from_iter([("engine.new", 4)]);
    /// assert_eq!(TABLE.unlisted(&config).count(), 1);
    /// ```
    pub fn unlisted<'c>(&self, config: &'c Config) -> impl Iterator<Item = (&'c str, &'c Value)> {
        config.iter().filter(|(path, _)| self.parameter(path).is_none())
    }

    /// The arguments of all given parameters that reach the engine by a flag.
    ///
    /// A value and its flag are one element, so that no value can become a flag.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// let config = Config::from_iter([("engine.size", 4)]);
    /// assert_eq!(TABLE.arguments(&config), [Arg::from(arg("--size=4"))]);
    /// ```
    pub fn arguments(&self, config: &Config) -> Vec<Arg> {
        self.given(config).flat_map(|(param, value)| rendered(param.native, value)).collect()
    }

    /// The fields of all given parameters of a phase that reach the engine by no flag and no
    /// environment variable; a parameter without a native name goes by the name in its path.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// let config = Config::from_iter([("sampling.top_k", 5)]);
    /// assert_eq!(TABLE.fields(&config, Phase::Request), [Field::new("top_k", 5)]);
    /// ```
    pub fn fields(&self, config: &Config, phase: Phase) -> Vec<Field> {
        self.given(config)
            .filter(|(param, _)| param.phase == phase)
            .filter_map(|(param, value)| match param.native {
                Native::Field(name) => Some(Field::new(name, value.clone())),
                Native::None => {
                    let name = param.path.split_once('.').map_or(param.path, |(_, name)| name);
                    Some(Field::new(name, value.clone()))
                }
                _ => None,
            })
            .collect()
    }

    /// The environment variables of all given parameters that reach the engine by one.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// let config = Config::from_iter([("engine.quiet", true)]);
    /// assert_eq!(TABLE.environment(&config)[0].name, "QUIET");
    /// ```
    pub fn environment(&self, config: &Config) -> Vec<EnvVar> {
        self.given(config)
            .filter_map(|(param, value)| match param.native {
                Native::Env(name) => Some((name, value)),
                _ => None,
            })
            .map(|(name, value)| {
                let text = match value {
                    Value::Boolean(it) => if *it { "1" } else { "0" }.to_owned(),
                    other => other.to_string(),
                };
                EnvVar { name: name.to_owned(), value: EnvValue::Literal(arg(text).into()) }
            })
            .collect()
    }

    /// The configuration with the fixed defaults of everything that it does not give.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # static TABLE: SchemaTable = SchemaTable {
    /// #     release: "1", sections: &[], rules: &[], code_rules: false, unknown: UnknownPolicy::Reject,
    /// #     parameters: &[
    /// #         Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
    /// #         Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine("")).native(Native::Env("QUIET")),
    /// #         Param::new("sampling.top_k", &[int(0, 9)], Fallback::Engine("")).request("top_k"),
    /// #     ],
    /// # };
    /// assert_eq!(TABLE.with_defaults(&Config::default()).integer("engine.size"), Some(3));
    /// ```
    pub fn with_defaults(&self, config: &Config) -> Config {
        let mut all = config.clone();
        for param in self.parameters {
            if let Fallback::Fixed(value) = param.default
                && all.get(param.path).is_none()
            {
                all.set(param.path, value);
            }
        }
        all
    }
}

fn rendered(native: Native, value: &Value) -> Vec<Arg> {
    match (native, value) {
        (Native::Flag(flag), value) => vec![arg(format!("{flag}={value}")).into()],
        (Native::Switch(flag) | Native::OnOff(flag, _), Value::Boolean(true)) => {
            vec![arg(flag).into()]
        }
        (Native::OnOff(_, flag), Value::Boolean(false)) => vec![arg(flag).into()],
        (Native::Comma(flag), value) => {
            vec![arg(format!("{flag}={}", items(value).join(","))).into()]
        }
        (Native::Repeat(flag), value) => {
            items(value).into_iter().map(|item| arg(format!("{flag}={item}")).into()).collect()
        }
        (Native::Words(flag), value) => std::iter::once(flag.to_owned())
            .chain(items(value))
            .map(|word| arg(word).into())
            .collect(),
        (
            Native::Switch(_)
            | Native::OnOff(..)
            | Native::None
            | Native::Field(_)
            | Native::Env(_),
            _,
        ) => Vec::new(),
    }
}

/// The items of a flat JSON list as plain text; any other value is its own only item.
fn items(value: &Value) -> Vec<String> {
    let Value::Json(json) = value else { return vec![value.to_string()] };
    let Some(inner) = json.trim().strip_prefix('[').and_then(|it| it.strip_suffix(']')) else {
        return vec![json.clone()];
    };
    let mut items = Vec::new();
    let mut item = String::new();
    let (mut quoted, mut depth) = (false, 0_u32);
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                item.extend((depth > 0).then_some(c));
            }
            '\\' if quoted && depth == 0 => item.extend(unescaped(&mut chars)),
            '\\' if quoted => item.extend([Some(c), chars.next()].into_iter().flatten()),
            '[' | '{' if !quoted => {
                depth += 1;
                item.push(c);
            }
            ']' | '}' if !quoted => {
                depth = depth.saturating_sub(1);
                item.push(c);
            }
            ',' if !quoted && depth == 0 => items.push(std::mem::take(&mut item)),
            c if c.is_whitespace() && !quoted => {}
            c => item.push(c),
        }
    }
    if !(items.is_empty() && item.is_empty()) {
        items.push(item);
    }
    items
}

fn unescaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    match chars.next()? {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        'u' => {
            let digits: String = chars.by_ref().take(4).collect();
            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SectionDef, Type, UnknownPolicy, Val, int, testing};

    static TABLE: SchemaTable = SchemaTable {
        release: "1",
        sections: &[SectionDef { id: "engine", title: "Engine", doc: "" }],
        parameters: &[
            Param::new("engine.size", &[int(1, 9)], Fallback::Fixed(Val::Int(3))).flag("--size"),
            Param::new("engine.eager", &[Type::Boolean], Fallback::Engine(""))
                .native(Native::OnOff("--eager", "--no-eager")),
            Param::new("engine.names", &[Type::Object], Fallback::Engine(""))
                .native(Native::Repeat("--name")),
            Param::new("engine.quiet", &[Type::Boolean], Fallback::Engine(""))
                .native(Native::Env("ENGINE_QUIET")),
            Param::new("sampling.top_k", &[int(0, 100)], Fallback::Engine("")).request("top_k"),
        ],
        rules: &[],
        code_rules: false,
        unknown: UnknownPolicy::PassThrough,
    };

    #[test]
    fn every_setting_takes_the_way_that_its_row_names() {
        let config: Config = [
            ("engine.eager", Value::Boolean(false)),
            ("engine.names", Value::Json(r#"["a,b", "c\"d"]"#.to_owned())),
            ("engine.quiet", Value::Boolean(true)),
            ("engine.size", Value::Integer(4)),
            ("sampling.top_k", Value::Integer(5)),
            ("sampling.other", Value::Integer(6)),
        ]
        .into_iter()
        .collect();
        let arguments: Vec<String> = TABLE.arguments(&config).iter().map(testing::shown).collect();
        assert_eq!(arguments, ["--size=4", "--no-eager", "--name=a,b", "--name=c\"d"]);
        assert_eq!(TABLE.fields(&config, Phase::Request), [Field::new("top_k", 5)]);
        assert_eq!(TABLE.environment(&config).len(), 1);
        assert_eq!(
            TABLE.unlisted(&config).collect::<Vec<_>>(),
            [("sampling.other", &Value::Integer(6))]
        );
    }

    #[test]
    fn null_is_as_good_as_absent_and_defaults_fill_gaps_only() {
        let config = Config::from_iter([("engine.size", Value::Null)]);
        assert_eq!(TABLE.arguments(&config).len(), 0);
        assert_eq!(TABLE.with_defaults(&config), config);
        assert_eq!(TABLE.with_defaults(&Config::default()).integer("engine.size"), Some(3));
    }

    #[test]
    fn lists_split_at_top_level_commas_only() {
        let split = |json: &str| items(&Value::Json(json.to_owned()));
        assert_eq!(split("[1, 2]"), ["1", "2"]);
        assert_eq!(split(r#"[{"a":[1,2]},3]"#), [r#"{"a":[1,2]}"#, "3"]);
        assert_eq!(split("[]"), [""; 0]);
    }
}
