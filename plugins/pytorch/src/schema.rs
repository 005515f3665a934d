//! The parameter space, one table for all releases.
//!
//! The rows are data that `tools/schema` writes; a release's schema is the rows that it has.

use llem_sdk::{DefaultValue, prelude::*};

use crate::release;

const LATEST: &str = "5.23.0";
const RELEASES: &[&str] = &[LATEST, "5.17.0"];

/// What the cache's page size is called where `page_size` does not exist yet.
const BLOCK_SIZE: &str = "continuous_batching.block_size";

/// The rule that says that [`BLOCK_SIZE`] has been replaced.
const REPLACED: &str = "pytorch.continuous-batching-13";

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
        section(
            "server",
            "Server",
            "Options of `transformers serve`, which this plugin does not drive.",
        ),
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
    let mut schema = release::schema(&TABLE, RELEASES, release)?;
    if release != LATEST {
        schema.rules.retain(|rule| rule.id != REPLACED);
        for parameter in schema.parameters.iter_mut().filter(|it| it.path == BLOCK_SIZE) {
            parameter.deprecated = None;
            parameter.default = DefaultValue::Fixed(Value::Integer(256));
        }
    }
    Ok(schema)
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
        assert!(of("4.0.0").is_err());
    }

    #[test]
    fn enough_energy_relevant_parameters_have_values_to_sweep() {
        let schema = of(LATEST).unwrap();
        let ready =
            schema.parameters.iter().filter(|it| it.energy_relevant && !it.suggested.is_empty());
        assert!(ready.count() >= 40);
    }
}
