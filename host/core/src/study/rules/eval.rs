//! Three-valued evaluation of compiled rules.

use std::{borrow::Cow, cmp::Ordering};

use super::compile::{Compiled, Expr, Operator};
use crate::{backend::Value, study::keys::whole_to_float};

/// A value while a rule is evaluated.
#[derive(Clone, Debug)]
pub(in super::super) enum V<'a> {
    /// Nobody knows.
    Unknown,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Json(&'a serde_json::Value),
}

/// Where the values of names come from.
pub(in super::super) trait Lookup {
    /// What holds: the setting, else its default.
    fn value(&self, slot: usize) -> V<'_>;
    /// Whether the user set it.
    fn given(&self, slot: usize) -> bool;
    /// What holds after the engine has replaced "auto".
    fn resolved(&self, slot: usize) -> V<'_>;
    /// What holds where the user sets nothing.
    fn default(&self, slot: usize) -> V<'_>;
    /// A fact by its name.
    fn fact(&self, name: &str) -> V<'_>;
}

impl Compiled {
    /// Whether the rule applies; none: undecided.
    pub(in super::super) fn holds(&self, lookup: &dyn Lookup) -> Option<bool> {
        eval(&self.expr, &self.facts, lookup).truth()
    }
}

fn eval<'a>(expr: &'a Expr, facts: &'a [String], lookup: &'a dyn Lookup) -> V<'a> {
    let eval = |expr: &'a Expr| eval(expr, facts, lookup);
    match expr {
        Expr::Null => V::Null,
        Expr::Bool(it) => V::Bool(*it),
        Expr::Int(it) => V::Int(*it),
        Expr::Float(it) => V::Float(*it),
        Expr::Text(it) => V::Text(Cow::Borrowed(it)),
        Expr::List(items) => V::List(items.iter().map(eval).collect()),
        Expr::Slot(slot) => lookup.value(*slot),
        Expr::Fact(fact) => lookup.fact(&facts[*fact]),
        Expr::Given(slot) => V::Bool(lookup.given(*slot)),
        Expr::Resolved(slot) => lookup.resolved(*slot),
        Expr::Default(slot) => lookup.default(*slot),
        Expr::Field(of, name) => match eval(of) {
            V::Json(serde_json::Value::Object(object)) => {
                object.get(name).map_or(V::Null, V::from_json)
            }
            V::Null => V::Null,
            _ => V::Unknown,
        },
        Expr::Index(of, at) => index(&eval(of), &eval(at)),
        Expr::Not(of) => eval(of).truth().map_or(V::Unknown, |it| V::Bool(!it)),
        Expr::Negate(of) => match eval(of) {
            V::Int(it) => it.checked_neg().map_or(V::Unknown, V::Int),
            V::Float(it) => V::Float(-it),
            _ => V::Unknown,
        },
        Expr::And(left, right) => both(eval(left).truth(), || eval(right).truth(), false),
        Expr::Or(left, right) => both(eval(left).truth(), || eval(right).truth(), true),
        Expr::If(parts) => match eval(&parts[0]).truth() {
            Some(true) => eval(&parts[1]),
            Some(false) => eval(&parts[2]),
            None => V::Unknown,
        },
        Expr::Binary(operator, left, right) => binary(*operator, &eval(left), &eval(right)),
        Expr::Matches(text, regex) => match eval(text) {
            V::Null => V::Bool(false),
            value => value.text().map_or(V::Unknown, |text| V::Bool(regex.is_match(text))),
        },
        Expr::Call(function, args) => function.call(args.iter().map(eval).collect()),
    }
}

/// And and or: one operand of the deciding value decides, whatever the other is.
fn both<'a>(left: Option<bool>, right: impl FnOnce() -> Option<bool>, deciding: bool) -> V<'a> {
    if left == Some(deciding) {
        return V::Bool(deciding);
    }
    match (left, right()) {
        (_, Some(right)) if right == deciding => V::Bool(deciding),
        (Some(_), Some(_)) => V::Bool(!deciding),
        _ => V::Unknown,
    }
}

fn index<'a>(of: &V<'a>, at: &V<'a>) -> V<'a> {
    match (of, at) {
        (V::Json(serde_json::Value::Object(object)), V::Text(name)) => {
            object.get(&**name).map_or(V::Null, V::from_json)
        }
        (_, V::Int(at)) => match (of.items(), usize::try_from(*at)) {
            (Some(items), Ok(at)) => items.into_iter().nth(at).unwrap_or(V::Null),
            _ => V::Unknown,
        },
        _ => V::Unknown,
    }
}

fn binary<'a>(operator: Operator, left: &V<'a>, right: &V<'a>) -> V<'a> {
    let bool = |it: Option<bool>| it.map_or(V::Unknown, V::Bool);
    let ordered =
        |ask: fn(Ordering) -> bool| left.order(right).map_or(V::Unknown, |it| V::Bool(ask(it)));
    match operator {
        Operator::Equal => bool(left.equals(right)),
        Operator::NotEqual => bool(left.equals(right).map(|it| !it)),
        Operator::Less => ordered(Ordering::is_lt),
        Operator::LessEqual => ordered(Ordering::is_le),
        Operator::Greater => ordered(Ordering::is_gt),
        Operator::GreaterEqual => ordered(Ordering::is_ge),
        Operator::In => left.is_in(right),
        Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo => arithmetic(operator, left, right),
    }
}

fn arithmetic<'a>(operator: Operator, left: &V<'a>, right: &V<'a>) -> V<'a> {
    if let (V::Int(left), V::Int(right)) = (left, right) {
        let whole = match operator {
            Operator::Add => left.checked_add(*right),
            Operator::Subtract => left.checked_sub(*right),
            Operator::Multiply => left.checked_mul(*right),
            Operator::Divide => left.checked_div(*right),
            _ => left.checked_rem(*right),
        };
        return whole.map_or(V::Unknown, V::Int);
    }
    let (Some(left), Some(right)) = (left.number(), right.number()) else { return V::Unknown };
    let number = match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => left % right,
    };
    if number.is_finite() { V::Float(number) } else { V::Unknown }
}

impl<'a> V<'a> {
    /// A setting's value.
    pub(in super::super) fn from_value(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(it) => Self::Bool(*it),
            Value::Integer(it) => Self::Int(*it),
            Value::Number(it) => Self::Float(*it),
            Value::Text(it) => Self::Text(Cow::Borrowed(it)),
            Value::Json(it) => Self::Json(it),
        }
    }

    fn from_json(json: &'a serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(it) => Self::Bool(*it),
            serde_json::Value::Number(it) => match (it.as_i64(), it.as_f64()) {
                (Some(whole), _) => Self::Int(whole),
                (None, Some(number)) => Self::Float(number),
                (None, None) => Self::Unknown,
            },
            serde_json::Value::String(it) => Self::Text(Cow::Borrowed(it)),
            nested => Self::Json(nested),
        }
    }

    pub(super) fn length(length: usize) -> Self {
        i64::try_from(length).map_or(Self::Unknown, Self::Int)
    }

    /// As a condition: null is no, what is neither yes nor no is undecided.
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(it) => Some(*it),
            Self::Null => Some(false),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(it) => Some(whole_to_float(*it)),
            Self::Float(it) => Some(*it),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(it) => Some(it),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::List(items) => Some(items.clone()),
            Self::Json(serde_json::Value::Array(items)) => {
                Some(items.iter().map(Self::from_json).collect())
            }
            _ => None,
        }
    }

    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        Some(match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => return None,
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Int(left), Self::Int(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::Json(left), Self::Json(right)) => left == right,
            _ => match (self.number(), other.number(), self.items(), other.items()) {
                (Some(left), Some(right), ..) => {
                    left.partial_cmp(&right).is_some_and(Ordering::is_eq)
                }
                (.., Some(left), Some(right)) => {
                    if left.len() != right.len() {
                        return Some(false);
                    }
                    let mut equal = Some(true);
                    for (left, right) in left.iter().zip(&right) {
                        match left.equals(right) {
                            Some(true) => {}
                            Some(false) => return Some(false),
                            None => equal = None,
                        }
                    }
                    return equal;
                }
                _ => false,
            },
        })
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(right)),
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            _ => self.number()?.partial_cmp(&other.number()?),
        }
    }

    pub(super) fn is_in(&self, list: &Self) -> Self {
        let Some(items) = list.items() else {
            return match (list, self) {
                (Self::Json(serde_json::Value::Object(object)), Self::Text(name)) => {
                    Self::Bool(object.contains_key(&**name))
                }
                (Self::Null, _) => Self::Bool(false),
                _ => Self::Unknown,
            };
        };
        let mut answer = Self::Bool(false);
        for item in &items {
            match self.equals(item) {
                Some(true) => return Self::Bool(true),
                Some(false) => {}
                None => answer = Self::Unknown,
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::rules::{Name, compile};

    /// Settings `s.a` (5, given), `s.n` (null), `s.t` ("auto"), `s.j` (an object); facts under `gpu.` of which `cc` is known.
    struct Fixed(Vec<Value>);

    impl Lookup for Fixed {
        fn value(&self, slot: usize) -> V<'_> {
            V::from_value(&self.0[slot])
        }
        fn given(&self, slot: usize) -> bool {
            slot == 0
        }
        fn resolved(&self, slot: usize) -> V<'_> {
            if slot == 2 { V::Unknown } else { self.value(slot) }
        }
        fn default(&self, _: usize) -> V<'_> {
            V::Int(7)
        }
        fn fact(&self, name: &str) -> V<'_> {
            if name == "gpu.cc" { V::Float(9.0) } else { V::Unknown }
        }
    }

    fn check(text: &str) -> Option<bool> {
        let names = ["s.a", "s.n", "s.t", "s.j"];
        let resolve = |path: &str| match names.iter().position(|name| *name == path) {
            Some(slot) => Some(Name::Slot(slot)),
            None => path.starts_with("gpu.").then(|| Name::Fact(path.to_owned())),
        };
        let compiled = compile(text, &resolve, &|| names.map(str::to_owned).to_vec())
            .unwrap_or_else(|it| panic!("{it:?}"));
        let json = serde_json::json!({"b": 1, "list": ["x", "y"]});
        let values =
            vec![Value::Integer(5), Value::Null, Value::Text("auto".to_owned()), Value::Json(json)];
        compiled.holds(&Fixed(values))
    }

    #[test]
    fn what_is_known_is_decided() {
        for (text, holds) in [
            ("s.a == 5 && s.a >= 5.0 && s.a != 6", true),
            ("s.a % 2 == 1 ? s.a * 2 == 10 : false", true),
            ("s.t == \"auto\" && s.t.startsWith(\"au\") && !s.t.endsWith(\"x\")", true),
            ("s.a in [1, 5] && !(s.a in [2])", true),
            ("given(s.a) && !given(s.n) && default(s.n) == 7", true),
            ("has(s.a)", true),
            ("gpu.cc >= 8.0", true),
            ("min(s.a, 3) == 3 && max(s.a, 3) == 5 && size([1, 2]) == 2", true),
            ("s.j.b == 1 && s.j.missing == null && \"x\" in s.j.list && s.j[\"b\"] == 1", true),
            ("s.t.matches(\"^a.*o$\")", true),
            ("-s.a < 0 && s.a - 6 < 0 && s.a / 2 == 2", true),
            ("count(s.a, s.n, false, true) == 2 && unique([1, 2]) && !unique([1, 1])", true),
            ("s.a > 5", false),
            ("s.n", false),
        ] {
            assert_eq!(check(text), Some(holds), "{text}");
        }
    }

    #[test]
    fn what_depends_on_the_unknown_is_undecided() {
        for text in [
            "gpu.count > 1",
            "gpu.count > 1 && s.a == 5",
            "gpu.x || s.a == 6",
            "s.n < 3",
            "s.n + 1 == 1",
            "resolved(s.t) == \"x\"",
            "s.a / 0 == 1",
        ] {
            assert_eq!(check(text), None, "{text}");
        }
    }

    #[test]
    fn one_operand_can_decide_in_spite_of_the_unknown() {
        assert_eq!(check("gpu.x && s.a == 6"), Some(false));
        assert_eq!(check("s.a == 5 || gpu.x"), Some(true));
        assert_eq!(check("gpu.x || s.a == 5"), Some(true));
        assert_eq!(check("s.a in [gpu.x, 5]"), Some(true));
    }

    #[test]
    fn null_is_a_value_for_equality() {
        assert_eq!(check("s.n == null"), Some(true));
        assert_eq!(check("s.a == null"), Some(false));
        assert_eq!(check("s.n in [null, 1]"), Some(true));
    }

    #[test]
    fn an_unknown_name_or_function_is_refused_with_the_nearest() {
        let resolve = |path: &str| (path == "s.abc").then_some(Name::Slot(0));
        let known = || vec!["s.abc".to_owned()];
        assert_eq!(
            compile("s.abd == 1", &resolve, &known).unwrap_err().nearest.as_deref(),
            Some("s.abc")
        );
        assert_eq!(
            compile("s.abc.startWith(\"x\")", &resolve, &known).unwrap_err().nearest.as_deref(),
            Some("startsWith")
        );
        assert!(compile("s.abc ==", &resolve, &known).is_err());
    }
}
