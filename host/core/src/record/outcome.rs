//! Reads an outcome without a detour: what serde derives for a tagged enum keeps the whole value in memory first, and
//! records are nearly all of a journal.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Map, Value};

use super::{Measured, Outcome, TrialFailure};

const STATUS: &str = "status";

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OutcomeVisitor)
    }
}

struct OutcomeVisitor;

impl<'de> Visitor<'de> for OutcomeVisitor {
    type Value = Outcome;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an outcome: an object with a `status`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Outcome, A::Error> {
        let Some(first) = map.next_key::<String>()? else {
            return Err(Error::missing_field(STATUS));
        };
        if first == STATUS {
            // As llem writes it.
            let status: String = map.next_value()?;
            return of_status(&status, MapAccessDeserializer::new(map));
        }
        let mut fields = Map::new();
        fields.insert(first, map.next_value()?);
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            fields.insert(name, value);
        }
        let Some(Value::String(status)) = fields.remove(STATUS) else {
            return Err(Error::missing_field(STATUS));
        };
        of_status(&status, Value::Object(fields)).map_err(Error::custom)
    }
}

fn of_status<'de, D: Deserializer<'de>>(status: &str, fields: D) -> Result<Outcome, D::Error> {
    match status {
        "completed" => Ok(Outcome::Completed(Box::new(Measured::deserialize(fields)?))),
        "failed" => Ok(Outcome::Failed(TrialFailure::deserialize(fields)?)),
        other => Err(Error::unknown_variant(other, &["completed", "failed"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Phase;

    #[test]
    fn an_outcome_is_read_wherever_its_status_stands() {
        let failure = TrialFailure {
            phase: Phase::Load,
            kind: "crash".into(),
            message: "gone".into(),
            hint: None,
            permanent: false,
            log_tail: String::new(),
        };
        let outcome = Outcome::Failed(failure);
        let written = serde_json::to_string(&outcome).unwrap();
        assert!(written.starts_with("{\"status\":\"failed\""), "{written}");
        assert_eq!(serde_json::from_str::<Outcome>(&written).unwrap(), outcome);
        let rest = written.replace("\"status\":\"failed\",", "");
        let moved = rest.replace('}', ",\"status\":\"failed\"}");
        assert_eq!(serde_json::from_str::<Outcome>(&moved).unwrap(), outcome);
    }

    #[test]
    fn an_outcome_of_another_kind_is_refused_by_name() {
        for (text, says) in [
            ("{}", "status"),
            ("{\"status\":\"odd\"}", "odd"),
            ("{\"phase\":1,\"status\":\"odd\"}", "odd"),
            ("{\"status\":\"failed\"}", "phase"),
        ] {
            let error = serde_json::from_str::<Outcome>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
