//! The parameter space, one table for all releases.
//!
//! The rows are data that `tools/schema` writes; a release's schema is the rows that it has.

use llem_sdk::{ParamType, prelude::*};

use crate::release;

const RELEASES: &[&str] = &["0.33.0", "0.24.0"];

pub(crate) static TABLE: SchemaTable = SchemaTable {
    release: RELEASES[0],
    sections: &[
        section(
            "engine",
            "Engine",
            "Arguments of the engine and the fields of its nested configurations; alike in both modes.",
        ),
        section("sampling", "Sampling", "`SamplingParams`, or the request field of the same name."),
        section("server", "Server", "Options of the HTTP server."),
        section("completion", "Completion requests", "Fields of `/v1/completions`."),
        section(
            "chat",
            "Chat requests",
            "Fields of `/v1/chat/completions`; giving one chooses chat requests.",
        ),
        section("env", "Environment", "Environment variables of the engine."),
    ],
    parameters: &include!("../data/parameters.in"),
    rules: &include!("../data/rules.in"),
    code_rules: false,
    unknown: UnknownPolicy::Reject,
};

/// Choices of the latest release that 0.24.0 does not take: what its own parser refused.
const LATER_CHOICES: &[(&str, &str)] = &include!("../data/later_choices.in");

const fn section(id: &'static str, title: &'static str, doc: &'static str) -> SectionDef {
    SectionDef { id, title, doc }
}

/// The schema of a release.
pub(crate) fn of(release: &str) -> Result<Schema, Error> {
    let mut schema = release::schema(&TABLE, RELEASES, release)?;
    if release != RELEASES[0] {
        for parameter in &mut schema.parameters {
            let path = parameter.path.as_str();
            let later = |value: &Value| {
                LATER_CHOICES
                    .iter()
                    .any(|(of, choice)| *of == path && *value == Value::from(*choice))
            };
            for kind in &mut parameter.types {
                if let ParamType::Choice(choices) = kind {
                    choices.retain(|choice| !later(&choice.value));
                }
            }
            parameter.suggested.retain(|value| !later(value));
        }
    }
    Ok(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(schema: &Schema, path: &str) -> bool {
        schema.parameters.iter().any(|it| it.path == path)
    }

    #[test]
    fn each_release_has_its_own_parameters() {
        let (old, new) = (of("0.24.0").unwrap(), of("0.33.0").unwrap());
        assert!(has(&old, "engine.max_num_partial_prefills"));
        assert!(!has(&new, "engine.max_num_partial_prefills"));
        assert!(!has(&old, "engine.max_num_queued_reqs"));
        assert!(has(&new, "engine.max_num_queued_reqs"));
        assert!(has(&old, "engine.max_num_seqs") && has(&new, "engine.max_num_seqs"));
    }

    #[test]
    fn a_release_offers_the_choices_that_its_own_parser_takes() {
        let choices = |release: &str, path: &str| -> Vec<String> {
            let schema = of(release).unwrap();
            let parameter = schema.parameters.iter().find(|it| it.path == path).unwrap();
            let choices = parameter.types.iter().filter_map(|it| match it {
                ParamType::Choice(choices) => Some(choices),
                _ => None,
            });
            choices.flatten().map(|choice| choice.value.to_string()).collect()
        };
        let (old, new) =
            (choices("0.24.0", "engine.moe_backend"), choices("0.33.0", "engine.moe_backend"));
        assert!(old.contains(&"triton".to_owned()) && !old.contains(&"batched_triton".to_owned()));
        assert!(new.contains(&"batched_triton".to_owned()));
    }

    #[test]
    fn enough_energy_relevant_parameters_have_values_to_sweep() {
        let schema = of("0.24.0").unwrap();
        let ready =
            schema.parameters.iter().filter(|it| it.energy_relevant && !it.suggested.is_empty());
        assert!(ready.count() >= 30);
    }
}
