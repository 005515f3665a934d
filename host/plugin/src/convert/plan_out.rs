//! A context, and a plan to be revised, for the plugin.

use llem_core::backend as core;

use super::{
    all,
    value::{setting, to_config, to_fields},
};
use crate::bindings::exports::llem::backend::launch as guest;

impl From<core::Context> for guest::Context {
    fn from(it: core::Context) -> Self {
        Self {
            release: it.release,
            mode: it.mode.into(),
            runner: it.runner.into(),
            model: guest::ModelRef {
                id: it.model.id,
                revision: it.model.revision,
                source: it.model.source.into(),
            },
            image: it.image.map(Into::into),
            gpu: it.gpu.map(|it| guest::GpuFacts {
                vendor: it.vendor,
                name: it.name,
                count: it.count,
                memory_mib: it.memory_mib,
                compute_capability: it.compute_capability,
                driver: it.driver,
            }),
            secrets: it.secrets,
            max_input_tokens: it.max_input_tokens,
            max_output_tokens: it.max_output_tokens,
            max_concurrency: it.max_concurrency,
            seed: it.seed,
            extra: it.extra,
        }
    }
}

impl From<core::LaunchPlan> for guest::LaunchPlan {
    fn from(it: core::LaunchPlan) -> Self {
        Self {
            steps: all(it.steps),
            effective: to_config(&it.effective),
            revisable: it.revisable,
            notes: it.notes,
            extra: it.extra,
        }
    }
}

impl From<core::Step> for guest::Step {
    fn from(it: core::Step) -> Self {
        Self {
            id: it.id,
            title: it.title,
            role: it.role.into(),
            runner: it.runner.into(),
            image: it.image.map(Into::into),
            command: guest::Command {
                program: it.command.program.into(),
                args: it.command.args.into_iter().map(all).collect(),
            },
            env: all(it.env),
            mounts: all(it.mounts),
            files: all(it.files),
            gpus: guest::GpuNeed { count: it.gpus.count, min_memory_mib: it.gpus.min_memory_mib },
            network: it.network.into(),
            shm_mib: it.shm_mib,
            readiness: guest::Readiness {
                probes: all(it.readiness.probes),
                interval_ms: it.readiness.interval_ms,
                deadline_ms: it.readiness.deadline_ms,
            },
            signals: all(it.signals),
            limits: guest::Limits {
                wall_ms: it.limits.wall_ms,
                silence_ms: it.limits.silence_ms,
                memory_mib: it.limits.memory_mib,
            },
            stop: guest::Stop { signal: it.stop.signal.into(), grace_ms: it.stop.grace_ms },
        }
    }
}

impl From<core::Role> for guest::Role {
    fn from(it: core::Role) -> Self {
        match it {
            core::Role::Prepare { produces } => {
                Self::Prepare(guest::Prepare { produces: produces.map(Into::into) })
            }
            core::Role::Subject(it) => Self::Subject(guest::Subject {
                drive: it.drive.into(),
                metrics: it.metrics.map(|it| guest::Metrics {
                    format: it.format,
                    path: it.path,
                    series: all(it.series),
                }),
                inspections: all(it.inspections),
            }),
        }
    }
}

impl From<core::Artefact> for guest::Artefact {
    fn from(it: core::Artefact) -> Self {
        Self {
            id: it.id,
            key: it.key.iter().map(|(path, value)| setting(path, value)).collect(),
            must_contain: it.must_contain,
            est_size_mib: it.est_size_mib,
        }
    }
}

impl From<core::Drive> for guest::Drive {
    fn from(it: core::Drive) -> Self {
        match it {
            core::Drive::Http { protocol, base_path, served_model, body, reports_usage } => {
                Self::Http(guest::HttpApi {
                    protocol,
                    base_path,
                    served_model,
                    body: to_fields(body),
                    reports_usage,
                })
            }
            core::Drive::Batch { protocol, load, body, batch_size } => {
                Self::Batch(guest::BatchApi {
                    protocol,
                    load: to_fields(load),
                    body: to_fields(body),
                    batch_size,
                })
            }
        }
    }
}

impl From<core::MetricSeries> for guest::MetricSeries {
    fn from(it: core::MetricSeries) -> Self {
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

impl From<core::Program> for guest::Program {
    fn from(it: core::Program) -> Self {
        match it {
            core::Program::Named(it) => Self::Named(it),
            core::Program::Bundled(it) => Self::Bundled(it),
            core::Program::Entrypoint => Self::Entrypoint,
        }
    }
}

impl From<core::ArgPart> for guest::ArgPart {
    fn from(it: core::ArgPart) -> Self {
        match it {
            core::ArgPart::Literal(it) => Self::Literal(it),
            core::ArgPart::Model => Self::Model,
            core::ArgPart::Port => Self::Port,
            core::ArgPart::Address => Self::Address,
            core::ArgPart::Scratch => Self::Scratch,
            core::ArgPart::Artefact(it) => Self::Artefact(it),
            core::ArgPart::File(it) => Self::File(it),
            core::ArgPart::GpuIndices => Self::GpuIndices,
        }
    }
}

impl From<core::EnvVar> for guest::EnvVar {
    fn from(it: core::EnvVar) -> Self {
        let value = match it.value {
            core::EnvValue::Literal(it) => guest::EnvValue::Literal(all(it)),
            core::EnvValue::Pass => guest::EnvValue::Pass,
            core::EnvValue::Secret(it) => guest::EnvValue::Secret(it),
        };
        Self { name: it.name, value }
    }
}

impl From<core::Mount> for guest::Mount {
    fn from(it: core::Mount) -> Self {
        let source = match it.source {
            core::MountSource::ModelCache => guest::MountSource::ModelCache,
            core::MountSource::Model => guest::MountSource::Model,
            core::MountSource::Artefact(it) => guest::MountSource::Artefact(it),
            core::MountSource::Scratch => guest::MountSource::Scratch,
            core::MountSource::Host(it) => guest::MountSource::Host(it),
        };
        Self { source, target: it.target, writable: it.writable }
    }
}

impl From<core::PlanFile> for guest::File {
    fn from(it: core::PlanFile) -> Self {
        Self { name: it.name, contents: it.contents, executable: it.executable }
    }
}

impl From<core::Probe> for guest::Probe {
    fn from(it: core::Probe) -> Self {
        match it {
            core::Probe::Http(it) => Self::Http(it.into()),
            core::Probe::Tcp => Self::Tcp,
            core::Probe::Signal(it) => Self::Signal(it),
            core::Probe::File(it) => Self::File(it),
            core::Probe::Exits => Self::Exits,
        }
    }
}

impl From<core::HttpRequest> for guest::HttpRequest {
    fn from(it: core::HttpRequest) -> Self {
        let core::HttpRequest { id, method, path, body, expect_status, expect_body } = it;
        Self { id, method, path, body, expect_status, expect_body }
    }
}

impl From<core::LogSignal> for guest::LogSignal {
    fn from(it: core::LogSignal) -> Self {
        let core::LogSignal { id, pattern, kind, captures } = it;
        Self { id, pattern, kind, captures }
    }
}
