//! A plugin whose replies are a text inside of it, which tests overwrite: every attack on the host is data.
//!
//! The text is JSON in `SCRIPT`. Beside replies it may name a deed that no JSON can express, and where it is done.

mod deeds;

#[allow(missing_docs, clippy::pedantic, reason = "generated; the WIT documents its items")]
mod wit {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "backend",
        additional_derives: [Clone, serde::Deserialize],
    });
}

use serde::Deserialize;
use wit::{
    exports::llem::backend::{
        info::{self, Descriptor, EngineRelease, VersionProbe},
        launch::{self, Context, LaunchPlan, StepReport},
        params::{self, Canonical, Schema},
        results::{self, Observation, RunOutput},
    },
    llem::backend::types::{Error, Setting},
};

/// Bytes of a script, its mark included.
const SIZE: usize = 64 * 1024;
/// What the script begins with; a test looks for it.
const MARK: &[u8] = b"LLEM-SCRIPT:";

/// The script: JSON after the mark, then spaces.
static SCRIPT: [u8; SIZE] = {
    let mut bytes = [b' '; SIZE];
    let mut at = 0;
    while at < MARK.len() {
        bytes[at] = MARK[at];
        at += 1;
    }
    bytes
};

#[derive(Deserialize)]
struct Script {
    descriptor: Descriptor,
    releases: Vec<EngineRelease>,
    #[serde(default)]
    version_probes: Vec<VersionProbe>,
    schema: Schema,
    plan: LaunchPlan,
    revised: Option<LaunchPlan>,
    observation: Observation,
    deed: Option<deeds::Deed>,
}

struct Scripted;

/// The script, after the deed that it names for a function.
fn script(function: &str) -> Script {
    let bytes = std::hint::black_box(&SCRIPT);
    let script: Script =
        serde_json::from_slice(&bytes[MARK.len()..]).expect("a test has written the script");
    if let Some(deed) = script.deed.as_ref().filter(|it| it.function == function) {
        deeds::commit(&deed.what);
    }
    script
}

impl info::Guest for Scripted {
    fn describe() -> Descriptor {
        script("describe").descriptor
    }

    fn releases() -> Vec<EngineRelease> {
        script("releases").releases
    }

    fn version_probes() -> Vec<VersionProbe> {
        script("version-probes").version_probes
    }
}

impl params::Guest for Scripted {
    fn schema_of(release: String) -> Result<Schema, Error> {
        let script = script("schema-of");
        let mut schema = script.schema;
        schema.release = release;
        if script.deed.is_some_and(|it| it.function == "schema-of") {
            deeds::grow(&mut schema);
        }
        Ok(schema)
    }

    fn canonicalise(_: String, configs: Vec<Vec<Setting>>) -> Result<Vec<Canonical>, Error> {
        script("canonicalise");
        Ok(configs.into_iter().map(|config| Canonical { config, findings: Vec::new() }).collect())
    }
}

impl launch::Guest for Scripted {
    fn plan(_: Vec<Setting>, _: Context) -> Result<LaunchPlan, Error> {
        let script = script("plan");
        // A plan that would differ between calls, if an instance ever lived for two.
        Ok(if deeds::calls() > 1 { script.revised.unwrap_or(script.plan) } else { script.plan })
    }

    fn revise(
        _: Vec<Setting>,
        _: Context,
        plan: LaunchPlan,
        _: Vec<StepReport>,
    ) -> Result<LaunchPlan, Error> {
        Ok(script("revise").revised.unwrap_or(plan))
    }
}

impl results::Guest for Scripted {
    fn parse(_: Vec<Setting>, _: Context, _: RunOutput) -> Result<Observation, Error> {
        Ok(script("parse").observation)
    }
}

#[cfg(target_arch = "wasm32")]
wit::export!(Scripted with_types_in wit);

/// Keeps everything in use where nothing is exported.
#[cfg(not(target_arch = "wasm32"))]
pub const NATIVE: fn() = || {
    fn implements<T: info::Guest + params::Guest + launch::Guest + results::Guest>() {}
    implements::<Scripted>();
};
