//! Values and configurations drawn from a schema, the same at every run.

use llem_core::backend::{Config, ParamType, Parameter, Schema, Value};

/// A reproducible source of numbers (`SplitMix64`, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound that is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}

/// Some allowed values of a parameter: what it suggests, its choices, its bounds and between them.
pub(crate) fn values(parameter: &Parameter, dice: &mut Dice) -> Vec<Value> {
    let mut found = parameter.suggested.clone();
    for kind in &parameter.types {
        found.extend(of_type(kind, dice));
    }
    found.retain(|value| llem_core::study::refusal(parameter, value).is_none());
    let mut unique: Vec<Value> = Vec::new();
    for value in found {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}

fn of_type(kind: &ParamType, dice: &mut Dice) -> Vec<Value> {
    match kind {
        ParamType::Boolean => vec![Value::Boolean(true), Value::Boolean(false)],
        ParamType::Integer { min, max, multiple_of, .. } => {
            let step = multiple_of.unwrap_or(1).max(1);
            let low = min.unwrap_or_else(|| max.map_or(1, |max| max.min(1)));
            let high = max.unwrap_or_else(|| low.saturating_add(4096));
            let spread = usize::try_from(high.saturating_sub(low)).unwrap_or(usize::MAX);
            let offset = i64::try_from(dice.below(spread)).unwrap_or(0);
            let between = low.saturating_add(offset);
            [between, low, low.saturating_add(step), high]
                .map(|it| Value::Integer(it - it.rem_euclid(step)))
                .into_iter()
                .chain([Value::Integer(low - low.rem_euclid(step) + step)])
                .collect()
        }
        ParamType::Number { min, max, .. } => {
            let low = min.unwrap_or_else(|| max.map_or(0.0, |max| max.min(0.0)));
            let high = max.unwrap_or(low + 2.0);
            let at = |part: f64| Value::Number(low + (high - low) * part);
            vec![at(0.5), at(0.25), at(0.75), at(0.0), at(1.0)]
        }
        ParamType::Text { format, .. } => {
            let texts: &[&str] = match format.as_deref() {
                Some("json") => &["{}", "{\"a\":1}"],
                Some("path") => &["/tmp/a", "/tmp/b"],
                _ => &["a", "abc", "1", "auto", "0", "a/b", "a-b_c.1"],
            };
            texts.iter().map(|it| Value::Text((*it).to_owned())).collect()
        }
        ParamType::Choice(choices) => choices.iter().map(|it| it.value.clone()).collect(),
        ParamType::Items { item, min_items, .. } => {
            let items: Vec<serde_json::Value> =
                of_type(item, dice).into_iter().map(Into::into).collect();
            let least = usize::try_from(min_items.unwrap_or(0)).unwrap_or(0).max(1);
            [least, least + 1]
                .map(|length| {
                    let list: Vec<_> = items.iter().cycle().take(length).cloned().collect();
                    Value::Json(list.into())
                })
                .into()
        }
        ParamType::Object => {
            vec![Value::Json(serde_json::json!({})), Value::Json(serde_json::json!({"a": 1}))]
        }
    }
}

/// A configuration of up to six drawn settings above a base.
pub(crate) fn config(schema: &Schema, base: &Config, dice: &mut Dice) -> Config {
    let mut config = base.clone();
    for _ in 0..=dice.below(6) {
        if schema.parameters.is_empty() {
            break;
        }
        let parameter = &schema.parameters[dice.below(schema.parameters.len())];
        let allowed = values(parameter, dice);
        if !allowed.is_empty() {
            let value = allowed[dice.below(allowed.len())].clone();
            config.insert(parameter.path.clone(), value);
        }
    }
    config
}
