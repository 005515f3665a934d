//! Dotted settings as the nested objects that engines take.
//!
//! Shared by the plugins whose engines nest their settings. Renders; knows no engine and no path.

use std::collections::BTreeMap;

use llem_sdk::{Field, Value, json_object};

/// The fields of an object whose members may be objects themselves: `a.b` = 1 is `{"a": {"b": 1}}`.
///
/// Fails with the name that is given both as a whole and by its members, which engines do not merge.
pub(crate) fn fields(entries: &[(&str, &Value)]) -> Result<Vec<Field>, String> {
    let mut groups: BTreeMap<&str, Vec<(&str, &Value)>> = BTreeMap::new();
    for (name, value) in entries {
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        groups.entry(first).or_default().push((rest, value));
    }
    groups
        .into_iter()
        .map(|(name, members)| match members.as_slice() {
            [("", value)] => Ok(Field::new(name, (*value).clone())),
            members if members.iter().any(|(rest, _)| rest.is_empty()) => Err(name.to_owned()),
            members => Ok(Field::new(name, Value::Json(object(members)?))),
        })
        .collect()
}

/// The same as JSON text, which is YAML too.
pub(crate) fn object(entries: &[(&str, &Value)]) -> Result<String, String> {
    Ok(json_object(&fields(entries)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_become_objects_in_objects() {
        let (one, off, list) =
            (Value::Integer(1), Value::Boolean(false), Value::Json("[2]".to_owned()));
        let entries = [("a.b.c", &one), ("a.d", &off), ("e", &list)];
        assert_eq!(object(&entries).unwrap(), r#"{"a":{"b":{"c":1},"d":false},"e":[2]}"#);
    }

    #[test]
    fn a_name_given_whole_and_by_members_is_a_conflict() {
        let (whole, member) = (Value::Json("{}".to_owned()), Value::Integer(1));
        assert_eq!(object(&[("a", &whole), ("a.b", &member)]), Err("a".to_owned()));
    }
}
