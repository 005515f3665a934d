//! Checks JSON against a JSON Schema, as far as the schemas that llem publishes go: another keyword is a fault, so that
//! nothing is passed over. The extended checks use a full validator.

use serde_json::{Map, Value};

/// What of a value breaks a schema.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut checker = Checker { root: schema, faults: Vec::new() };
    checker.check(schema, value, "");
    checker.faults
}

struct Checker<'a> {
    root: &'a Value,
    faults: Vec<String>,
}

impl<'a> Checker<'a> {
    fn check(&mut self, schema: &'a Value, value: &Value, at: &str) {
        let Value::Object(schema) = schema else {
            if schema == &Value::Bool(false) {
                self.faults.push(format!("{at}: nothing is allowed here"));
            }
            return;
        };
        for (keyword, rule) in schema {
            self.keyword(keyword, rule, schema, value, at);
        }
    }

    fn keyword(
        &mut self,
        keyword: &str,
        rule: &'a Value,
        schema: &Map<String, Value>,
        value: &Value,
        at: &str,
    ) {
        let list = || rule.as_array().map(Vec::as_slice).unwrap_or_default();
        match (keyword, value) {
            ("$ref", _) => {
                let path = rule.as_str().expect("a text").trim_start_matches('#');
                let target = self.root.pointer(path).expect("it is defined");
                self.check(target, value, at);
            }
            ("type", _) => {
                let names = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
                self.hold(
                    names.iter().any(|it| is_a(value, it)),
                    at,
                    &format!("no {rule}: {value}"),
                );
            }
            ("const", _) => self.hold(rule == value, at, &format!("not {rule}: {value}")),
            ("enum", _) => {
                self.hold(list().contains(value), at, &format!("none of {rule}: {value}"));
            }
            ("oneOf" | "anyOf", _) => {
                let fits = list().iter().filter(|it| self.fits(it, value)).count();
                let enough = if keyword == "oneOf" { fits == 1 } else { fits > 0 };
                self.hold(enough, at, &format!("{fits} of {keyword} fit {value}"));
            }
            ("required", Value::Object(object)) => {
                for name in list().iter().filter_map(Value::as_str) {
                    self.hold(object.contains_key(name), at, &format!("no `{name}`"));
                }
            }
            ("properties", Value::Object(object)) => {
                for (name, rule) in rule.as_object().expect("an object") {
                    if let Some(value) = object.get(name) {
                        self.check(rule, value, &format!("{at}/{name}"));
                    }
                }
            }
            ("additionalProperties", Value::Object(object)) => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, value) in object {
                    if known.is_none_or(|it| !it.contains_key(name)) {
                        self.check(rule, value, &format!("{at}/{name}"));
                    }
                }
            }
            ("items", Value::Array(values)) => {
                let before =
                    schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                for (place, value) in values.iter().enumerate().skip(before) {
                    self.check(rule, value, &format!("{at}/{place}"));
                }
            }
            ("prefixItems", Value::Array(values)) => {
                for (place, (rule, value)) in list().iter().zip(values).enumerate() {
                    self.check(rule, value, &format!("{at}/{place}"));
                }
            }
            ("minItems" | "maxItems", Value::Array(values)) => {
                let most = u64::try_from(values.len()).expect("few");
                let bound = rule.as_u64().expect("a number");
                let holds = if keyword == "minItems" { most >= bound } else { most <= bound };
                self.hold(holds, at, &format!("{most} items, {keyword} {bound}"));
            }
            ("minimum", Value::Number(number)) => {
                self.hold(
                    number.as_f64() >= rule.as_f64(),
                    at,
                    &format!("{number} is below {rule}"),
                );
            }
            ("maximum", Value::Number(number)) => {
                self.hold(
                    number.as_f64() <= rule.as_f64(),
                    at,
                    &format!("{number} is above {rule}"),
                );
            }
            (
                "$schema"
                | "$defs"
                | "title"
                | "description"
                | "default"
                | "format"
                | "required"
                | "properties"
                | "additionalProperties"
                | "items"
                | "prefixItems"
                | "minItems"
                | "maxItems"
                | "minimum"
                | "maximum",
                _,
            ) => (),
            (other, _) => self.faults.push(format!("the schema has the unknown keyword `{other}`")),
        }
    }

    fn hold(&mut self, holds: bool, at: &str, fault: &str) {
        if !holds {
            self.faults.push(format!("{at}: {fault}"));
        }
    }

    fn fits(&self, schema: &'a Value, value: &Value) -> bool {
        let mut checker = Checker { root: self.root, faults: Vec::new() };
        checker.check(schema, value, "");
        checker.faults.is_empty()
    }
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}
