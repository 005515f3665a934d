//! Builders of launch plans, with defaults that suit most engines.

use crate::{
    Arg, BatchApi, Command, Config, Drive, EnvValue, EnvVar, Field, File, GpuNeed, HttpApi,
    HttpRequest, ImageRef, LaunchPlan, Limits, LogSignal, MetricSeries, Metrics, Network, Prepare,
    Probe, Program, Readiness, Role, Runner, SeriesKind, Step, Stop, StopSignal, Subject, arg,
};

impl LaunchPlan {
    /// A plan of one step, the subject, with a configuration as its effective one.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let plan = LaunchPlan::of(step, &Config::from_iter([("engine.size", 1)]));
    /// assert_eq!((plan.steps.len(), plan.effective.len()), (1, 1));
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let build = Step::prepare("build", "Build", Program::Named("builder".to_owned()), Prepare { produces: None }, 60_000);
    /// let plan = LaunchPlan::of(step, &Config::default()).after(build);
    /// assert_eq!(plan.steps[0].id, "build");
    /// ```
    #[must_use]
    pub fn after(mut self, prepare: Step) -> Self {
        self.steps.insert(self.steps.len() - 1, prepare);
        self
    }

    /// Measures the engine that runs already at an address, `http://host:port` without a path, instead
    /// of starting one. The subject is [`Step::attached`]; the descriptor asks for
    /// [`Permission::Network`](crate::Permission::Network).
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let step = Step::attached("endpoint", "Endpoint", Drive::completions("m", Vec::new()));
    /// let plan = LaunchPlan::of(step, &Config::default()).attached_to("http://127.0.0.1:8000");
    /// assert_eq!(plan.extra[0].0, "attach");
    /// ```
    #[must_use]
    pub fn attached_to(mut self, url: impl Into<String>) -> Self {
        self.extra.push(("attach".to_owned(), url.into()));
        self
    }

    /// Sends a secret as the API key, a bearer token, with every request to an engine that runs already.
    /// The plugin knows its name only; the descriptor asks for [`Permission::Secret`](crate::Permission::Secret), and a
    /// plan may use it where [`Context::secrets`](crate::Context) names it.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let step = Step::attached("endpoint", "Endpoint", Drive::completions("m", Vec::new()));
    /// let plan = LaunchPlan::of(step, &Config::default()).attached_to("https://h").with_key("my-key");
    /// assert_eq!(plan.extra[1], ("attach-secret".to_owned(), "my-key".to_owned()));
    /// ```
    #[must_use]
    pub fn with_key(mut self, secret: &str) -> Self {
        self.extra.push(("attach-secret".to_owned(), secret.to_owned()));
        self
    }

    /// Says that the engine runs on another machine although its address is one of this machine, a
    /// tunnel's or a proxy's: this machine's instruments don't see it, so it has no energy.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let step = Step::attached("endpoint", "Endpoint", Drive::completions("m", Vec::new()));
    /// let plan = LaunchPlan::of(step, &Config::default()).attached_to("http://127.0.0.1:8000").elsewhere();
    /// assert_eq!(plan.extra[1], ("attach-elsewhere".to_owned(), "true".to_owned()));
    /// ```
    #[must_use]
    pub fn elsewhere(mut self) -> Self {
        self.extra.push(("attach-elsewhere".to_owned(), "true".to_owned()));
        self
    }

    /// Adds a note for the record.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let plan = LaunchPlan::of(step, &Config::default()).with_note("one replica only");
    /// assert_eq!(plan.notes, ["one replica only"]);
    /// ```
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

impl Drive {
    /// `/v1/completions` of an OpenAI-compatible server that reports usage in its stream.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let Drive::Http(api) = Drive::completions("m", Vec::new()) else { unreachable!() };
    /// assert_eq!((api.protocol.as_str(), api.base_path.as_str()), ("openai-completions", "/v1"));
    /// ```
    pub fn completions(served_model: &str, body: Vec<Field>) -> Self {
        Self::openai("openai-completions", served_model, body)
    }

    /// `/v1/chat/completions` of an OpenAI-compatible server that reports usage in its stream.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let Drive::Http(api) = Drive::chat("m", Vec::new()) else { unreachable!() };
    /// assert_eq!(api.protocol, "openai-chat");
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let load = vec![Field::new("dtype", "bfloat16")];
    /// let Drive::Batch(api) = Drive::batch(load, Vec::new()) else { unreachable!() };
    /// assert_eq!(api.protocol, "llem-batch/1");
    /// ```
    pub fn batch(load: Vec<Field>, body: Vec<Field>) -> Self {
        Self::Batch(BatchApi { protocol: "llem-batch/1".to_owned(), load, body, batch_size: None })
    }

    /// Limits the prompts of one batch; no effect on servers.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let drive = Drive::batch(Vec::new(), Vec::new()).with_batch_size(Some(32));
    /// assert!(matches!(drive, Drive::Batch(api) if api.batch_size == Some(32)));
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let drive = Drive::completions("m", Vec::new());
    /// let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// assert_eq!(step.network, Network::Local);
    /// ```
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

    /// An engine that somebody else has started, for [`LaunchPlan::attached_to`].
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let step = Step::attached("endpoint", "Endpoint", Drive::chat("m", Vec::new()));
    /// assert_eq!(step.readiness.probes, [Probe::Tcp]);
    /// ```
    pub fn attached(id: &str, title: &str, drive: Drive) -> Self {
        let mut step = Self::subject(id, title, Program::Entrypoint, drive);
        step.network = Network::Outbound;
        // It runs already, so it is either there or not.
        step.readiness.deadline_ms = 30_000;
        step.readiness.probes.push(Probe::Tcp);
        step
    }

    /// A step that runs to its end before the next one starts.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let step = Step::prepare("build", "Build", Program::Named("builder".to_owned()), Prepare { produces: None }, 60_000);
    /// assert_eq!(step.readiness.probes, [Probe::Exits]);
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let step = step.in_container(ImageRef::tagged("docker.io/example/server", "v1"));
    /// assert_eq!(step.runner, Runner::Container);
    /// ```
    #[must_use]
    pub fn in_container(mut self, image: ImageRef) -> Self {
        self.runner = Runner::Container;
        self.image = Some(image);
        self
    }

    /// Appends arguments.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let step = step.with_args([arg("--port=").port()]);
    /// assert_eq!(llem_sdk::testing::argv(&step), ["--port={port}"]);
    /// ```
    #[must_use]
    pub fn with_args(mut self, args: impl IntoIterator<Item = impl Into<Arg>>) -> Self {
        self.command.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable to a literal.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// assert_eq!(step.with_env("SERVER_LOG", "debug").env[0].name, "SERVER_LOG");
    /// ```
    #[must_use]
    pub fn with_env(self, name: &str, value: impl Into<String>) -> Self {
        self.with_env_vars([EnvVar {
            name: name.to_owned(),
            value: EnvValue::Literal(arg(value).into()),
        }])
    }

    /// Appends environment variables. A secret may be among them where [`Context::secrets`](crate::Context) names it.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let token = EnvVar { name: "HF_TOKEN".to_owned(), value: EnvValue::Secret("hf-token".to_owned()) };
    /// assert_eq!(step.with_env_vars([token]).env.len(), 1);
    /// ```
    #[must_use]
    pub fn with_env_vars(mut self, vars: impl IntoIterator<Item = EnvVar>) -> Self {
        self.env.extend(vars);
        self
    }

    /// Adds a file to the scratch directory.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let step = step.with_file("a.json", "{}").with_args([arg("--config=").file("a.json")]);
    /// assert_eq!(step.files[0].contents, b"{}");
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// assert_eq!(step.with_gpus(2).gpus.count, 2);
    /// ```
    #[must_use]
    pub fn with_gpus(mut self, count: u32) -> Self {
        self.gpus.count = count;
        self
    }

    /// Appends patterns to look for in the output.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let step = step.with_signals([LogSignal::new("ready", "up", "listening on")]);
    /// assert_eq!(step.signals.len(), 1);
    /// ```
    #[must_use]
    pub fn with_signals(mut self, signals: impl IntoIterator<Item = LogSignal>) -> Self {
        self.signals.extend(signals);
        self
    }

    /// Adds a request made after readiness and after the last window; no effect on prepare steps.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let step = step.with_inspection(HttpRequest::get("version", "/version"));
    /// assert!(matches!(step.role, Role::Subject(it) if it.inspections.len() == 1));
    /// ```
    #[must_use]
    pub fn with_inspection(mut self, request: HttpRequest) -> Self {
        if let Role::Subject(subject) = &mut self.role {
            subject.inspections.push(request);
        }
        self
    }

    /// Names the Prometheus page and what to keep of it; no effect on prepare steps.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let step = step.with_prometheus("/metrics", [MetricSeries::gauge("server_running", "requests_running")]);
    /// assert!(matches!(step.role, Role::Subject(it) if it.metrics.is_some()));
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// let step = step.ready_on_health("/health", 60_000);
    /// assert_eq!(step.readiness.deadline_ms, 60_000);
    /// ```
    #[must_use]
    pub fn ready_on_health(mut self, path: &str, deadline_ms: u32) -> Self {
        let mut request = HttpRequest::get("health", path);
        request.expect_status = Some(200);
        self.readiness =
            Readiness { probes: vec![Probe::Http(request)], interval_ms: 200, deadline_ms };
        self
    }

    /// Sets the time until it must be ready.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// assert_eq!(step.with_deadline(5_000).readiness.deadline_ms, 5_000);
    /// ```
    #[must_use]
    pub fn with_deadline(mut self, milliseconds: u32) -> Self {
        self.readiness.deadline_ms = milliseconds;
        self
    }

    /// Sets the time until everything left is killed.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// # let drive = Drive::completions("m", Vec::new());
    /// # let step = Step::subject("serve", "Server", Program::Named("server".to_owned()), drive);
    /// assert_eq!(step.with_grace(30_000).stop.grace_ms, 30_000);
    /// ```
    #[must_use]
    pub fn with_grace(mut self, milliseconds: u32) -> Self {
        self.stop.grace_ms = milliseconds;
        self
    }
}

impl HttpRequest {
    /// A GET request.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(HttpRequest::get("models", "/v1/models").method, "GET");
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let signal = LogSignal::new("observe", "kv", r"(?<n>\d+) blocks").capturing("n", "kv_cache_blocks");
    /// assert_eq!(signal.captures[0].0, "n");
    /// ```
    #[must_use]
    pub fn capturing(mut self, group: &str, target: &str) -> Self {
        self.captures.push((group.to_owned(), target.to_owned()));
        self
    }
}

impl MetricSeries {
    /// A series that takes any value.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(MetricSeries::gauge("server_running", "requests_running").target, "requests_running");
    /// ```
    pub fn gauge(name: &str, target: &str) -> Self {
        Self::new(name, target, SeriesKind::Gauge)
    }

    /// A series that only grows.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// assert_eq!(MetricSeries::counter("server_tokens_total", "generation_tokens").scale, 1.0);
    /// ```
    pub fn counter(name: &str, target: &str) -> Self {
        Self::new(name, target, SeriesKind::Counter)
    }

    /// A series of buckets with sum and count.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let series = MetricSeries::histogram("server_queue_seconds", "queue_time");
    /// assert_eq!(series.name, "server_queue_seconds");
    /// ```
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
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let series = MetricSeries::gauge("server_cache_percent", "kv_cache_usage_ratio").scaled(0.01, "ratio");
    /// assert_eq!(series.unit.as_deref(), Some("ratio"));
    /// ```
    #[must_use]
    pub fn scaled(mut self, factor: f64, unit: &str) -> Self {
        self.scale = factor;
        self.unit = Some(unit.to_owned());
        self
    }

    /// Keeps only samples that carry a label.
    ///
    /// ```
    /// # use llem_sdk::prelude::*;
    /// let series = MetricSeries::gauge("server_requests", "requests_running").labelled("state", "running");
    /// assert_eq!(series.labels.len(), 1);
    /// ```
    #[must_use]
    pub fn labelled(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.to_owned(), value.to_owned()));
        self
    }
}
