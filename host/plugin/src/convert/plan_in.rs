//! A plugin's launch plan.

use llem_core::backend as core;

use super::{
    all, same_cases,
    value::{config, fields, path, value},
};
use crate::{BadReply, bindings::exports::llem::backend::launch as guest};

same_cases!(guest::ModelSource, core::ModelSource: Hub, Directory, File, Random);
same_cases!(guest::Network, core::Network: None, Local, Outbound);
same_cases!(guest::StopSignal, core::StopSignal: Term, Int, Kill);
same_cases!(guest::SeriesKind, core::SeriesKind: Counter, Gauge, Histogram);

/// A plugin's launch plan.
pub(crate) fn plan(it: guest::LaunchPlan) -> Result<core::LaunchPlan, BadReply> {
    Ok(core::LaunchPlan {
        steps: it.steps.into_iter().map(step).collect::<Result<_, _>>()?,
        effective: config(it.effective)?,
        revisable: it.revisable,
        notes: it.notes,
        extra: it.extra,
    })
}

fn step(it: guest::Step) -> Result<core::Step, BadReply> {
    Ok(core::Step {
        id: it.id,
        title: it.title,
        role: role(it.role)?,
        runner: it.runner.into(),
        image: it.image.map(Into::into),
        command: core::Command {
            program: it.command.program.into(),
            args: it.command.args.into_iter().map(all).collect(),
        },
        env: all(it.env),
        mounts: all(it.mounts),
        files: all(it.files),
        gpus: core::GpuNeed { count: it.gpus.count, min_memory_mib: it.gpus.min_memory_mib },
        network: it.network.into(),
        shm_mib: it.shm_mib,
        readiness: core::Readiness {
            probes: all(it.readiness.probes),
            interval_ms: it.readiness.interval_ms,
            deadline_ms: it.readiness.deadline_ms,
        },
        signals: all(it.signals),
        limits: core::Limits {
            wall_ms: it.limits.wall_ms,
            silence_ms: it.limits.silence_ms,
            memory_mib: it.limits.memory_mib,
        },
        stop: core::Stop { signal: it.stop.signal.into(), grace_ms: it.stop.grace_ms },
    })
}

fn role(it: guest::Role) -> Result<core::Role, BadReply> {
    Ok(match it {
        guest::Role::Prepare(it) => {
            core::Role::Prepare { produces: it.produces.map(artefact).transpose()? }
        }
        guest::Role::Subject(it) => core::Role::Subject(core::Subject {
            drive: drive(it.drive)?,
            metrics: it.metrics.map(metrics).transpose()?,
            inspections: all(it.inspections),
        }),
    })
}

fn artefact(it: guest::Artefact) -> Result<core::Artefact, BadReply> {
    let key = it.key.into_iter().map(|it| {
        let value = value(&it.path, it.value)?;
        Ok((path(&it.path)?, value))
    });
    Ok(core::Artefact {
        id: it.id,
        key: key.collect::<Result<_, _>>()?,
        must_contain: it.must_contain,
        est_size_mib: it.est_size_mib,
    })
}

fn drive(it: guest::Drive) -> Result<core::Drive, BadReply> {
    Ok(match it {
        guest::Drive::Http(it) => core::Drive::Http {
            protocol: it.protocol,
            base_path: it.base_path,
            served_model: it.served_model,
            body: fields(it.body)?,
            reports_usage: it.reports_usage,
        },
        guest::Drive::Batch(it) => core::Drive::Batch {
            protocol: it.protocol,
            load: fields(it.load)?,
            body: fields(it.body)?,
            batch_size: it.batch_size,
        },
    })
}

fn metrics(it: guest::Metrics) -> Result<core::Metrics, BadReply> {
    if let Some(series) = it.series.iter().find(|it| !it.scale.is_finite()) {
        return Err(BadReply::NotFinite(series.name.clone()));
    }
    Ok(core::Metrics { format: it.format, path: it.path, series: all(it.series) })
}

impl From<guest::MetricSeries> for core::MetricSeries {
    fn from(it: guest::MetricSeries) -> Self {
        Self {
            name: it.name,
            labels: it.labels,
            target: it.target,
            kind: it.kind.into(),
            scale: it.scale,
            unit: it.unit,
        }
    }
}

impl From<guest::Program> for core::Program {
    fn from(it: guest::Program) -> Self {
        match it {
            guest::Program::Named(it) => Self::Named(it),
            guest::Program::Bundled(it) => Self::Bundled(it),
            guest::Program::Entrypoint => Self::Entrypoint,
        }
    }
}

impl From<guest::ArgPart> for core::ArgPart {
    fn from(it: guest::ArgPart) -> Self {
        match it {
            guest::ArgPart::Literal(it) => Self::Literal(it),
            guest::ArgPart::Model => Self::Model,
            guest::ArgPart::Port => Self::Port,
            guest::ArgPart::Address => Self::Address,
            guest::ArgPart::Scratch => Self::Scratch,
            guest::ArgPart::Artefact(it) => Self::Artefact(it),
            guest::ArgPart::File(it) => Self::File(it),
            guest::ArgPart::GpuIndices => Self::GpuIndices,
        }
    }
}

impl From<guest::EnvVar> for core::EnvVar {
    fn from(it: guest::EnvVar) -> Self {
        let value = match it.value {
            guest::EnvValue::Literal(it) => core::EnvValue::Literal(all(it)),
            guest::EnvValue::Pass => core::EnvValue::Pass,
            guest::EnvValue::Secret(it) => core::EnvValue::Secret(it),
        };
        Self { name: it.name, value }
    }
}

impl From<guest::Mount> for core::Mount {
    fn from(it: guest::Mount) -> Self {
        let source = match it.source {
            guest::MountSource::ModelCache => core::MountSource::ModelCache,
            guest::MountSource::Model => core::MountSource::Model,
            guest::MountSource::Artefact(it) => core::MountSource::Artefact(it),
            guest::MountSource::Scratch => core::MountSource::Scratch,
            guest::MountSource::Host(it) => core::MountSource::Host(it),
        };
        Self { source, target: it.target, writable: it.writable }
    }
}

impl From<guest::File> for core::PlanFile {
    fn from(it: guest::File) -> Self {
        Self { name: it.name, contents: it.contents, executable: it.executable }
    }
}

impl From<guest::Probe> for core::Probe {
    fn from(it: guest::Probe) -> Self {
        match it {
            guest::Probe::Http(it) => Self::Http(it.into()),
            guest::Probe::Tcp => Self::Tcp,
            guest::Probe::Signal(it) => Self::Signal(it),
            guest::Probe::File(it) => Self::File(it),
            guest::Probe::Exits => Self::Exits,
        }
    }
}

impl From<guest::HttpRequest> for core::HttpRequest {
    fn from(it: guest::HttpRequest) -> Self {
        let guest::HttpRequest { id, method, path, body, expect_status, expect_body } = it;
        Self { id, method, path, body, expect_status, expect_body }
    }
}

impl From<guest::LogSignal> for core::LogSignal {
    fn from(it: guest::LogSignal) -> Self {
        let guest::LogSignal { id, pattern, kind, captures } = it;
        Self { id, pattern, kind, captures }
    }
}
