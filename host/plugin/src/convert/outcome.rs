//! What the engine said, for the plugin; what the plugin made of it.

use llem_core::backend as core;

use super::{
    all,
    value::{config, to_fields},
};
use crate::{
    BadReply,
    bindings::exports::llem::backend::{launch, results as guest},
};

impl From<core::RunOutput> for guest::RunOutput {
    fn from(it: core::RunOutput) -> Self {
        Self {
            exit_code: it.exit_code,
            signal: it.signal,
            stopped_by_host: it.stopped_by_host,
            log_head: it.log_head,
            log_tail: it.log_tail,
            inspections: all(it.inspections),
            signals: all(it.signals),
        }
    }
}

impl From<core::Inspection> for guest::Inspection {
    fn from(it: core::Inspection) -> Self {
        let core::Inspection { id, moment, status, body } = it;
        Self { id, moment, status, body }
    }
}

impl From<core::SeenSignal> for guest::SeenSignal {
    fn from(it: core::SeenSignal) -> Self {
        Self { id: it.id, at_ms: it.at_ms, captures: to_fields(it.captures) }
    }
}

impl From<core::StepReport> for launch::StepReport {
    fn from(it: core::StepReport) -> Self {
        Self {
            step: it.step,
            cached: it.cached,
            exit_code: it.exit_code,
            duration_ms: it.duration_ms,
            observed: to_fields(it.observed),
            files: all(it.files),
            log_tail: it.log_tail,
        }
    }
}

/// A plugin's observation.
pub(crate) fn observation(it: guest::Observation) -> Result<core::Observation, BadReply> {
    if let Some(measure) = it.measures.iter().find(|it| !it.value.is_finite()) {
        return Err(BadReply::NotFinite(measure.name.clone()));
    }
    Ok(core::Observation {
        engine_version: it.engine_version,
        effective: config(it.effective)?,
        measures: it
            .measures
            .into_iter()
            .map(|it| core::Measure { name: it.name, value: it.value, unit: it.unit })
            .collect(),
        warnings: it.warnings,
        failure: it.failure.map(|it| core::Failure {
            kind: it.kind,
            message: it.message,
            hint: it.hint,
            permanent: it.permanent,
        }),
        extra: it.extra,
    })
}
