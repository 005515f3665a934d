//! Turns a study of `LLenergyMeasure` 0.7 (YAML) into one of llem (TOML), with a note for each thing that has no equal.
//!
//! Knows the old format and which plugin each of its engines became; checks nothing that planning
//! the new study checks.

mod engine;
mod sweep;

use serde_json::{Map, Value as Json};

use self::engine::{Engine, Settings};
use super::write::{key_text, quoted, toml_text};

/// An imported study.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The study as TOML.
    pub toml: String,
    /// What has no equal, or became something else, in the order of the file.
    pub notes: Vec<String>,
}

/// Why a file can't be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not YAML.
    #[error("the file is not YAML")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// No study.
    #[error("the file is no study: expected a mapping with `task`, found {0}")]
    NoStudy(String),
}

type Object = Map<String, Json>;

/// Imports a study; `name` is used where it has none.
///
/// ```
/// let yaml = "study_name: tiny\nserving_mode: offline\nengine: vllm\ntask: {model: gpt2}\n\
///             sweep: {vllm.engine_params.max_num_seqs: [16, 64]}";
/// let imported = llem_core::study::import(yaml, "study").unwrap();
/// assert!(imported.toml.contains("\"vllm.engine.max_num_seqs\" = [16, 64]"));
/// ```
pub fn import(yaml: &str, name: &str) -> Result<Imported, ImportError> {
    let json: Json =
        serde_saphyr::from_str(yaml).map_err(|error| ImportError::Yaml(Box::new(error)))?;
    let Json::Object(mut old) = json else {
        return Err(ImportError::NoStudy(kind(&json).to_owned()));
    };
    if !old.contains_key("task") {
        return Err(ImportError::NoStudy("none".to_owned()));
    }
    let mut import = Import { notes: Vec::new(), sections: Vec::new(), server: false };
    import.server = old.get("serving_mode").and_then(Json::as_str) == Some("server");
    import.study(&mut old, name);
    Ok(Imported { toml: import.sections.join("\n\n") + "\n", notes: import.notes })
}

/// What kind of value it is, for people.
fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "nothing",
        Json::Bool(_) | Json::Number(_) | Json::String(_) => "a scalar",
        Json::Array(_) => "a list",
        Json::Object(_) => "a mapping",
    }
}

struct Import {
    notes: Vec<String>,
    sections: Vec<String>,
    server: bool,
}

/// Lines of one table.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn set(&mut self, key: &str, value: &Json) {
        self.0.push(format!("{key} = {}", toml_text(&value.clone().into())));
    }
}

impl Import {
    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Notes what is left of a mapping whose known keys were taken out.
    fn leftover(&mut self, at: &str, object: &Object) {
        for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            self.note(format!(
                "`{at}{key}` has no equal: {}",
                value.to_string().chars().take(80).collect::<String>()
            ));
        }
    }

    fn section(&mut self, header: &str, lines: &Lines) {
        if !lines.0.is_empty() || header.starts_with("[plugin.") {
            let header = if header.is_empty() { String::new() } else { format!("{header}\n") };
            self.sections.push(header + &lines.0.join("\n"));
        }
    }

    fn study(&mut self, old: &mut Object, name: &str) {
        old.remove("version");
        old.remove("serving_mode");
        if old.remove("base").is_some() {
            self.note(
                "`base` is not followed: import the file that it names and put the two together",
            );
        }
        let name = old
            .remove("study_name")
            .and_then(|it| it.as_str().map(str::to_owned))
            .unwrap_or_else(|| name.to_owned());
        let mut task = take(old, "task");
        let mut head = Lines::default();
        head.set("name", &Json::String(plain_name(&name)));
        if let Some(seed) = task.remove("random_seed") {
            head.set("seed", &seed);
        }
        self.section("", &head);
        self.task(&mut task);
        self.traffic(old);
        self.measure(old);
        let engines = self.plugins(old);
        let limits = take(old, "study_execution");
        self.limits(limits);
        let swept = take(old, "sweep");
        self.sweep(swept);
        if let Some(Json::Array(experiments)) = old.remove("experiments") {
            for experiment in experiments {
                self.experiment(experiment, &engines);
            }
        }
        if let Some(output) = old.remove("output") {
            self.note(format!("`output` has no equal: results go to the directory that `llem run` is given ({output})"));
        }
        self.leftover("", &std::mem::take(old));
    }

    fn task(&mut self, task: &mut Object) {
        let mut model = Lines::default();
        if let Some(id) = task.remove("model") {
            model.set("id", &id);
        }
        self.section("[model]", &model);
        let mut lines = Lines::default();
        let mut dataset = take(task, "dataset");
        lines.set("source", &"dataset".into());
        let source = dataset.remove("source").unwrap_or_else(|| "aienergyscore".into());
        if source == "aienergyscore" {
            self.note(
                "the data set `aienergyscore` is not part of llem: `builtin:prompts` takes its place; \
                 for the same prompts name a file of them",
            );
            lines.set("dataset", &"builtin:prompts".into());
        } else {
            lines.set("dataset", &source);
        }
        lines.set("requests", &dataset.remove("n_prompts").unwrap_or_else(|| 100.into()));
        if dataset.remove("order").is_some_and(|order| order != "interleaved") {
            self.note(
                "`task.dataset.order` has no equal: prompts come in an order drawn from the seed",
            );
        }
        self.leftover("task.dataset.", &dataset);
        for (key, new) in
            [("max_input_tokens", "input_tokens"), ("max_output_tokens", "output_tokens")]
        {
            // 256 is what the old format took where the key was absent.
            match task.remove(key) {
                Some(Json::Null) => {}
                Some(value) => lines.set(new, &value),
                None => lines.set(new, &256.into()),
            }
        }
        self.note(
            "`max_output_tokens` was a limit; `output_tokens` is exact, engines are told to ignore end-of-sequence",
        );
        self.section("[workload]", &lines);
        self.leftover("task.", &std::mem::take(task));
    }

    fn traffic(&mut self, old: &mut Object) {
        let mut server = take(old, "server");
        let mut traffic = take(&mut server, "traffic");
        if !self.server {
            self.leftover("server.", &server);
            return;
        }
        let mut lines = Lines::default();
        let arrival = traffic.remove("arrival").and_then(|it| it.as_str().map(str::to_owned));
        let arrival = arrival.unwrap_or_else(|| "poisson".to_owned());
        let burstiness = traffic.remove("burstiness");
        lines.set("arrival", &arrival.as_str().into());
        if let Some(rate) = traffic.remove("rate") {
            lines.set("rate", &rate);
        }
        match burstiness {
            Some(value) if arrival == "gamma" && !value.is_null() => {
                lines.set("burstiness", &value);
            }
            _ => {}
        }
        self.section("[traffic]", &lines);
        let mut slo = Lines::default();
        let mut old_slo = take(&mut traffic, "slo");
        for (key, new) in [("ttft_ms", "time_to_first_token"), ("tpot_ms", "time_per_output_token")]
        {
            if let Some(milliseconds) = old_slo.remove(key).filter(|it| !it.is_null()) {
                slo.set(new, &format!("{milliseconds}ms").into());
            }
        }
        if let Some(share) = old_slo.remove("percentile").and_then(|it| it.as_f64()) {
            slo.set("percentile", &serde_json::json!(share * 100.0));
        }
        self.leftover("server.traffic.slo.", &old_slo);
        self.section("[slo]", &slo);
        let window = traffic.remove("window_seconds").unwrap_or_else(|| 240.into());
        old.insert("window".to_owned(), window);
        for (key, why) in [
            ("ramp_exclusion_seconds", "windows begin when power and latency have settled"),
            ("concurrency_cap", "the client has no limit"),
            ("seed", "the study's seed is used"),
            ("window_requests", "windows are bounded by time"),
        ] {
            if traffic.remove(key).is_some_and(|it| !it.is_null()) {
                self.note(format!("`server.traffic.{key}` has no equal: {why}"));
            }
        }
        self.leftover("server.traffic.", &traffic);
        if let Some(rest) = server.remove("cooldown_seconds").filter(|it| it.as_f64() > Some(0.0)) {
            self.note(format!(
                "`server.cooldown_seconds` ({rest}) became `measure.rest = \"auto\"`"
            ));
        }
        if let Some(warmup) = server.remove("warmup") {
            old.insert("warmup".to_owned(), warmup);
        }
        self.leftover("server.", &server);
    }

    fn measure(&mut self, old: &mut Object) {
        let mut lines = Lines::default();
        let mut offline = take(old, "offline");
        let mut warmup = take(&mut offline, "warmup");
        let served = take(old, "warmup");
        self.leftover("offline.", &offline);
        if self.server {
            match served.get("mode").and_then(Json::as_str) {
                Some("fixed") => {
                    let seconds =
                        served.get("duration_seconds").cloned().unwrap_or_else(|| 300.into());
                    lines.0.push(format!("warmup = {{ duration = \"{seconds}s\" }}"));
                }
                _ => lines.set("warmup", &"steady".into()),
            }
            let window = old.remove("window").unwrap_or_else(|| 240.into());
            lines.set("window", &format!("{window}s").into());
            lines.set("windows", &3.into());
        } else if warmup.remove("enabled") == Some(Json::Bool(false)) {
            self.note("a study can't go without a warm-up: it is one request now");
            lines.0.push("warmup = { requests = 1 }".to_owned());
        } else if warmup.remove("convergence_detection") == Some(Json::Bool(true)) {
            lines.set("warmup", &"steady".into());
        } else {
            let requests = warmup.remove("n_prompts").unwrap_or_else(|| 5.into());
            lines.0.push(format!("warmup = {{ requests = {requests} }}"));
        }
        if warmup.keys().any(|key| key != "n_prompts") {
            self.note("the constants of `offline.warmup` have no equal: steadiness is tested, nothing sleeps for a fixed time");
        }
        let mut measurement = take(old, "measurement");
        let mut baseline = take(&mut measurement, "baseline");
        if baseline.remove("enabled") == Some(Json::Bool(false)) {
            lines.set("baseline", &"none".into());
        }
        if !baseline.is_empty() {
            self.note("the constants of `measurement.baseline` have no equal: the baseline is measured in every trial, with the model loaded");
        }
        for (key, why) in [
            ("energy_sampler", "the device's energy counter is read"),
            ("latency_profiling", "latencies are always measured, without perturbing energy"),
            ("measurement_methodology", "windows begin when power has settled"),
            ("measurement_window", "windows begin when power has settled"),
            ("warmup_discard_fraction", "windows begin when power has settled"),
            ("warmup_discard_seconds", "windows begin when power has settled"),
            ("steady_state_auto_detect", "windows begin when power has settled"),
        ] {
            if measurement.remove(key).is_some_and(|it| !it.is_null() && it != "auto") {
                self.note(format!("`measurement.{key}` has no equal: {why}"));
            }
        }
        self.leftover("measurement.", &measurement);
        self.order(old, &mut lines);
        self.section("[measure]", &lines);
    }

    fn order(&mut self, old: &mut Object, lines: &mut Lines) {
        let Some(Json::Object(execution)) = old.get_mut("study_execution") else {
            // What the old command line took where the file said nothing.
            lines.set("repeats", &3.into());
            lines.set("order", &"shuffled".into());
            return;
        };
        let cycles = execution.remove("n_cycles").filter(|it| !it.is_null());
        lines.set("repeats", &cycles.unwrap_or_else(|| 3.into()));
        let order = execution.remove("experiment_order");
        let order = order.as_ref().and_then(Json::as_str).unwrap_or("shuffle");
        let new = match order {
            "sequential" => "sequential",
            "interleave" => "interleaved",
            "latin_square" => "counterbalanced",
            "reverse" => {
                self.note("`experiment_order: reverse` became `counterbalanced`, which runs every other repeat backwards");
                "counterbalanced"
            }
            _ => "shuffled",
        };
        lines.set("order", &new.into());
        let gap = execution
            .remove("experiment_gap_seconds")
            .and_then(|it| it.as_f64())
            .filter(|it| *it > 0.0);
        if let Some(seconds) = gap {
            lines.set("rest", &format!("{seconds}s").into());
        }
        if execution
            .remove("cycle_gap_seconds")
            .and_then(|it| it.as_f64())
            .is_some_and(|it| it > 0.0)
        {
            self.note("`study_execution.cycle_gap_seconds` has no equal: `measure.rest` is the pause between all trials");
        }
    }

    fn limits(&mut self, mut execution: Object) {
        let mut lines = Lines::default();
        for (key, new, unit) in [
            ("experiment_timeout_seconds", "trial", "s"),
            ("wall_clock_timeout_hours", "study", "h"),
        ] {
            if let Some(value) = execution.remove(key).and_then(|it| it.as_f64()) {
                lines.set(new, &format!("{value}{unit}").into());
            }
        }
        if let Some(failures) =
            execution.remove("max_consecutive_failures").filter(|it| !it.is_null())
        {
            lines.set("consecutive_failures", &failures);
        }
        self.section("[limits]", &lines);
        if execution.remove("deduplicate_equivalent") == Some(Json::Bool(false)) {
            self.note("`deduplicate_equivalent: false` has no equal: equal configurations run once, and the plan says which they stand for");
        }
        for (key, why) in [
            ("shuffle_seed", "the study's seed is used"),
            ("skip_preflight", "nothing is skipped"),
            ("circuit_breaker_cooldown_seconds", "a failed trial is tried again at the end"),
            ("stdout_silence_timeout_seconds", "the plugin says when silence counts as hung"),
            ("gpu_indices", "devices are chosen on the command line"),
        ] {
            if execution.remove(key).is_some_and(|it| !it.is_null() && it != Json::Bool(false)) {
                self.note(format!("`study_execution.{key}` has no equal: {why}"));
            }
        }
        self.leftover("study_execution.", &execution);
    }

    /// The tables of plugins; returns the engines that have one.
    fn plugins(&mut self, old: &mut Object) -> Vec<Engine> {
        let engines = Self::engines(old);
        let (runners, images) = (take(old, "runners"), take(old, "images"));
        let preset = old.remove("sampling_preset").and_then(|it| it.as_str().map(str::to_owned));
        for engine in &engines {
            let mut lines = Lines::default();
            let runner = runners.get(engine.old).and_then(Json::as_str).unwrap_or("auto");
            let (runner, image) = runner
                .split_once(':')
                .map_or((runner, None), |(runner, image)| (runner, Some(image)));
            lines.set("runner", &runner.into());
            if let Some(image) = images.get(engine.old).and_then(Json::as_str).or(image) {
                lines.set("image", &image.into());
            }
            let mut settings = Settings::default();
            if let Some(preset) = &preset {
                engine.preset(preset, &mut settings);
            }
            let section = take(old, engine.old);
            for (table, value) in section {
                let Json::Object(values) = value else { continue };
                for (name, value) in values {
                    self.setting(*engine, &format!("{table}.{name}"), &value, &mut settings);
                }
            }
            for (path, value) in settings.0 {
                let path: Vec<String> = path.split('.').map(key_text).collect();
                lines.set(&path.join("."), &value);
            }
            self.section(&format!("[plugin.{}]", engine.plugin), &lines);
        }
        if old
            .remove("passthrough_kwargs")
            .is_some_and(|it| it.as_object().is_some_and(|it| !it.is_empty()))
        {
            self.note("`passthrough_kwargs` has no equal: every parameter has a path of its own");
        }
        engines
    }

    /// A setting of the old engine as settings of the plugin.
    fn setting(&mut self, engine: Engine, path: &str, value: &Json, settings: &mut Settings) {
        if let Err(why) = engine.setting(path, value, self.server, settings) {
            self.note(format!("`{}.{path}` has no equal: {why}", engine.old));
        }
    }

    /// The engines that the study names anywhere.
    fn engines(old: &mut Object) -> Vec<Engine> {
        let mut names: Vec<String> = Vec::new();
        match old.remove("engine") {
            Some(Json::String(name)) => names.push(name),
            Some(Json::Array(list)) => {
                names.extend(list.iter().filter_map(|it| it.as_str().map(str::to_owned)));
            }
            _ => {}
        }
        if let Some(sweep) = old.get("sweep").and_then(Json::as_object) {
            names.extend(
                sweep
                    .keys()
                    .filter_map(|path| path.split_once('.'))
                    .map(|(head, _)| head.to_owned()),
            );
        }
        if let Some(list) = old.get("experiments").and_then(Json::as_array) {
            names
                .extend(list.iter().filter_map(|it| it.get("engine")?.as_str().map(str::to_owned)));
        }
        Engine::ALL
            .into_iter()
            .filter(|engine| names.iter().any(|name| name == engine.old))
            .collect()
    }

    fn experiment(&mut self, experiment: Json, engines: &[Engine]) {
        let Json::Object(mut old) = experiment else { return };
        let name = old.remove("engine").and_then(|it| it.as_str().map(str::to_owned));
        let engine = engines
            .iter()
            .find(|engine| Some(engine.old) == name.as_deref())
            .or(engines.first())
            .copied();
        let Some(engine) = engine else { return };
        let mut lines = Lines::default();
        lines.set("plugin", &engine.plugin.into());
        for (table, value) in take(&mut old, engine.old) {
            let mut settings = Settings::default();
            for (name, value) in value.as_object().into_iter().flatten() {
                self.setting(engine, &format!("{table}.{name}"), value, &mut settings);
            }
            for (path, value) in settings.0 {
                lines.set(&quoted(&format!("{}.{path}", engine.plugin)), &value);
            }
        }
        for (name, value) in take(&mut old, "task") {
            match sweep::study_path(&format!("task.{name}")) {
                Some(path) => lines.set(&quoted(path), &value),
                None => self.note(format!("`experiments.task.{name}` has no equal")),
            }
        }
        self.leftover("experiments.", &old);
        self.section("[[experiment]]", &lines);
    }
}

/// Takes a mapping out of another; an empty one where it is not there.
fn take(object: &mut Object, key: &str) -> Object {
    match object.remove(key) {
        Some(Json::Object(inner)) => inner,
        _ => Object::new(),
    }
}

/// A name fit for a directory.
fn plain_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' })
        .take(100)
        .collect();
    let plain = plain.trim_start_matches(['-', '.']);
    if plain.is_empty() { "study".to_owned() } else { plain.to_owned() }
}
