//! The parameter space, one table for all releases.
//!
//! The rows are data that `tools/schema` writes; a release's schema is the rows that it has.

use llem_sdk::{DefaultValue, prelude::*};

const LATEST: &str = "5.23.0";
const RELEASES: &[&str] = &[LATEST, "5.17.0"];

/// Rules of the latest release that an earlier one does not have.
const SINCE_PAGE_SIZE: &[&str] =
    &["pytorch.continuous-batching-01", "pytorch.continuous-batching-13"];

pub(crate) static TABLE: SchemaTable = SchemaTable {
    release: LATEST,
    sections: &[
        section("engine", "Engine", "Loading the model and forming its batches."),
        section("sampling", "Sampling", "How the next token is chosen."),
        section(
            "generation",
            "Generation",
            "Cache, compilation, assisted decoding and outputs of `generate`.",
        ),
        section(
            "quantization",
            "Quantisation",
            "Methods that store weights in fewer bits, one class each.",
        ),
        section("cache", "Cache", "Arguments of the key/value cache classes."),
        section("continuous_batching", "Continuous batching", "Settings of `generate_batch`."),
        section("distributed", "Distributed", "Several processes for one model."),
        section("torch", "torch", "Compilation, precision, kernels and threads of torch itself."),
        section("server", "Server", "Options of `transformers serve`."),
        section("env", "Environment", "Environment variables of the worker."),
    ],
    parameters: &include!("../data/parameters.in"),
    rules: &include!("../data/rules.in"),
    code_rules: false,
    unknown: UnknownPolicy::Reject,
};

const fn section(id: &'static str, title: &'static str, doc: &'static str) -> SectionDef {
    SectionDef { id, title, doc }
}

/// The schema of a release.
pub(crate) fn of(release: &str) -> Result<Schema, Error> {
    if !RELEASES.contains(&release) {
        return Err(Error::unknown_release(release));
    }
    let mut schema = TABLE.to_schema();
    release.clone_into(&mut schema.release);
    let wanted = version(release);
    schema.parameters.retain(|it| it.since.as_deref().is_none_or(|since| version(since) <= wanted));
    if release != LATEST {
        schema.rules.retain(|rule| !SINCE_PAGE_SIZE.contains(&rule.id.as_str()));
        for parameter in &mut schema.parameters {
            if parameter.path == "continuous_batching.block_size" {
                parameter.deprecated = None;
                parameter.default = DefaultValue::Fixed(Value::Integer(256));
            }
        }
    }
    let paths: Vec<&str> = schema.parameters.iter().map(|it| it.path.as_str()).collect();
    schema.rules.retain_mut(|rule| {
        rule.effects.retain(|effect| paths.contains(&effect.path.as_str()));
        known(&rule.when, &paths)
    });
    Ok(schema)
}

/// Whether a rule names no parameter that the release lacks.
fn known(when: &str, paths: &[&str]) -> bool {
    let lacking = TABLE.parameters.iter().filter(|it| it.since.is_some());
    !lacking.filter(|it| !paths.contains(&it.path)).any(|it| names(when, it.path))
}

/// Whether an expression contains a path that no longer path continues.
fn names(when: &str, path: &str) -> bool {
    when.match_indices(path).any(|(at, _)| {
        !when[at + path.len()..]
            .starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
    })
}

fn version(text: &str) -> Vec<u32> {
    text.split('.').filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_release_lacks_what_came_later() {
        let (old, new) = (of("5.17.0").unwrap(), of("5.23.0").unwrap());
        let has = |schema: &Schema, path: &str| schema.parameters.iter().any(|it| it.path == path);
        assert!(has(&new, "continuous_batching.page_size"));
        assert!(!has(&old, "continuous_batching.page_size"));
        assert!(old.rules.iter().all(|rule| !rule.when.contains("page_size")));
    }

    #[test]
    fn enough_energy_relevant_parameters_have_values_to_sweep() {
        let schema = of(LATEST).unwrap();
        let ready =
            schema.parameters.iter().filter(|it| it.energy_relevant && !it.suggested.is_empty());
        assert!(ready.count() >= 40);
    }
}
