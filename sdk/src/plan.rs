//! Builders of launch plans, with defaults that suit most engines.

use crate::{
    Arg, BatchApi, Command, Config, Drive, EnvValue, EnvVar, Field, File, GpuNeed, HttpApi,
    HttpRequest, ImageRef, LaunchPlan, Limits, LogSignal, MetricSeries, Metrics, Network, Prepare,
    Probe, Program, Readiness, Role, Runner, SeriesKind, Step, Stop, StopSignal, Subject, arg,
};

impl LaunchPlan {
    /// A plan of one step, the subject, with a configuration as its effective one.
    pub fn of(subject: Step, effective: &Config) -> Self {
        Self {
            steps: vec![subject],
            effective: effective.clone().into(),
            revisable: false,
            notes: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// Puts a prepare step before the subject, after earlier prepare steps.
    #[must_use]
    pub fn after(mut self, prepare: Step) -> Self {
        self.steps.insert(self.steps.len() - 1, prepare);
        self
    }

    /// Adds a note for the record.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl Drive {
    /// `/v1/completions` of an OpenAI-compatible server that reports usage in its stream.
    pub fn completions(served_model: &str, body: Vec<Field>) -> Self {
        Self::openai("openai-completions", served_model, body)
    }

    /// `/v1/chat/completions` of an OpenAI-compatible server that reports usage in its stream.
    pub fn chat(served_model: &str, body: Vec<Field>) -> Self {
        Self::openai("openai-chat", served_model, body)
    }

    fn openai(protocol: &str, served_model: &str, body: Vec<Field>) -> Self {
        Self::Http(HttpApi {
            protocol: protocol.to_owned(),
            base_path: "/v1".to_owned(),
            served_model: served_model.to_owned(),
            body,
            reports_usage: true,
        })
    }

    /// A worker of `llem-batch/1` that gets the whole workload in one batch.
    pub fn batch(load: Vec<Field>, body: Vec<Field>) -> Self {
        Self::Batch(BatchApi { protocol: "llem-batch/1".to_owned(), load, body, batch_size: None })
    }

    /// Limits the prompts of one batch; no effect on servers.
    #[must_use]
    pub fn with_batch_size(mut self, prompts: Option<u32>) -> Self {
        if let Self::Batch(api) = &mut self {
            api.batch_size = prompts;
        }
        self
    }
}

impl Step {
    /// The measured engine: a process on the loopback network without devices, stopped by
    /// `SIGTERM` and killed ten seconds later.
    ///
    /// An engine that is driven over HTTP also needs [`Step::ready_on_health`] or another probe.
    pub fn subject(id: &str, title: &str, program: Program, drive: Drive) -> Self {
        let network = if matches!(drive, Drive::Http(_)) { Network::Local } else { Network::None };
        let role = Role::Subject(Subject { drive, metrics: None, inspections: Vec::new() });
        Self::new(
            id,
            title,
            role,
            program,
            network,
            Readiness { probes: Vec::new(), interval_ms: 100, deadline_ms: 600_000 },
        )
    }

    /// A step that runs to its end before the next one starts.
    pub fn prepare(
        id: &str,
        title: &str,
        program: Program,
        prepare: Prepare,
        deadline_ms: u32,
    ) -> Self {
        let readiness = Readiness { probes: vec![Probe::Exits], interval_ms: 200, deadline_ms };
        Self::new(id, title, Role::Prepare(prepare), program, Network::None, readiness)
    }

    fn new(
        id: &str,
        title: &str,
        role: Role,
        program: Program,
        network: Network,
        readiness: Readiness,
    ) -> Self {
        Self {
            id: id.to_owned(),
            title: title.to_owned(),
            role,
            runner: Runner::Process,
            image: None,
            command: Command { program, args: Vec::new() },
            env: Vec::new(),
            mounts: Vec::new(),
            files: Vec::new(),
            gpus: GpuNeed { count: 0, min_memory_mib: None },
            network,
            shm_mib: None,
            readiness,
            signals: Vec::new(),
            limits: Limits { wall_ms: None, silence_ms: None, memory_mib: None },
            stop: Stop { signal: StopSignal::Term, grace_ms: 10_000 },
        }
    }

    /// Runs in a container of an image.
    #[must_use]
    pub fn in_container(mut self, image: ImageRef) -> Self {
        self.runner = Runner::Container;
        self.image = Some(image);
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn with_args(mut self, args: impl IntoIterator<Item = impl Into<Arg>>) -> Self {
        self.command.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable to a literal.
    #[must_use]
    pub fn with_env(self, name: &str, value: impl Into<String>) -> Self {
        self.with_env_vars([EnvVar {
            name: name.to_owned(),
            value: EnvValue::Literal(arg(value).into()),
        }])
    }

    /// Appends environment variables.
    #[must_use]
    pub fn with_env_vars(mut self, vars: impl IntoIterator<Item = EnvVar>) -> Self {
        self.env.extend(vars);
        self
    }

    /// Adds a file to the scratch directory.
    #[must_use]
    pub fn with_file(mut self, name: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.files.push(File {
            name: name.to_owned(),
            contents: contents.into(),
            executable: false,
        });
        self
    }

    /// Asks for devices.
    #[must_use]
    pub fn with_gpus(mut self, count: u32) -> Self {
        self.gpus.count = count;
        self
    }

    /// Appends patterns to look for in the output.
    #[must_use]
    pub fn with_signals(mut self, signals: impl IntoIterator<Item = LogSignal>) -> Self {
        self.signals.extend(signals);
        self
    }

    /// Adds a request made after readiness and after the last window; no effect on prepare steps.
    #[must_use]
    pub fn with_inspection(mut self, request: HttpRequest) -> Self {
        if let Role::Subject(subject) = &mut self.role {
            subject.inspections.push(request);
        }
        self
    }

    /// Names the Prometheus page and what to keep of it; no effect on prepare steps.
    #[must_use]
    pub fn with_prometheus(
        mut self,
        path: &str,
        series: impl IntoIterator<Item = MetricSeries>,
    ) -> Self {
        if let Role::Subject(subject) = &mut self.role {
            subject.metrics = Some(Metrics {
                format: "prometheus".to_owned(),
                path: path.to_owned(),
                series: series.into_iter().collect(),
            });
        }
        self
    }

    /// Counts as ready once a path answers with 200, tried five times a second.
    #[must_use]
    pub fn ready_on_health(mut self, path: &str, deadline_ms: u32) -> Self {
        let mut request = HttpRequest::get("health", path);
        request.expect_status = Some(200);
        self.readiness =
            Readiness { probes: vec![Probe::Http(request)], interval_ms: 200, deadline_ms };
        self
    }

    /// Sets the time until everything left is killed.
    #[must_use]
    pub fn with_grace(mut self, milliseconds: u32) -> Self {
        self.stop.grace_ms = milliseconds;
        self
    }
}

impl HttpRequest {
    /// A GET request.
    pub fn get(id: &str, path: &str) -> Self {
        Self {
            id: id.to_owned(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            body: None,
            expect_status: None,
            expect_body: None,
        }
    }
}

impl LogSignal {
    /// A pattern of a kind: `ready`, `progress`, `warning`, `dormant`, `oom`, `fatal` or `observe`.
    ///
    /// ```
    /// let signal = llem_sdk::LogSignal::new("observe", "kv-cache", r"KV cache size: (?<tokens>\d+)")
    ///     .capturing("tokens", "kv_cache_tokens");
    /// assert_eq!(signal.captures.len(), 1);
    /// ```
    pub fn new(kind: &str, id: &str, pattern: &str) -> Self {
        Self {
            id: id.to_owned(),
            pattern: pattern.to_owned(),
            kind: kind.to_owned(),
            captures: Vec::new(),
        }
    }

    /// Gives a capture group to a setting's path or a metric's name.
    #[must_use]
    pub fn capturing(mut self, group: &str, target: &str) -> Self {
        self.captures.push((group.to_owned(), target.to_owned()));
        self
    }
}

impl MetricSeries {
    /// A series that takes any value.
    pub fn gauge(name: &str, target: &str) -> Self {
        Self::new(name, target, SeriesKind::Gauge)
    }

    /// A series that only grows.
    pub fn counter(name: &str, target: &str) -> Self {
        Self::new(name, target, SeriesKind::Counter)
    }

    /// A series of buckets with sum and count.
    pub fn histogram(name: &str, target: &str) -> Self {
        Self::new(name, target, SeriesKind::Histogram)
    }

    fn new(name: &str, target: &str, kind: SeriesKind) -> Self {
        Self {
            name: name.to_owned(),
            labels: Vec::new(),
            target: target.to_owned(),
            kind,
            scale: 1.0,
            unit: None,
        }
    }

    /// Sets the factor to llem's unit and names that unit.
    #[must_use]
    pub fn scaled(mut self, factor: f64, unit: &str) -> Self {
        self.scale = factor;
        self.unit = Some(unit.to_owned());
        self
    }

    /// Keeps only samples that carry a label.
    #[must_use]
    pub fn labelled(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }
}
