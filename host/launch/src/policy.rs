//! The check of every launch plan, first-party or not, before anything starts.

mod container;
mod names;

use std::{collections::BTreeSet, fmt};

use llem_core::backend::{
    ArgPart, Attach, Command, Drive, EnvValue, HttpRequest, ImageRef, LaunchPlan, Network,
    PlanFile, Probe, Program, Role, Step, Subject,
};

use self::names::{
    is_program_name, is_relative_path, is_request_path, is_step_id, is_variable_name,
};
use crate::{Grant, attach, forbidden, logs};

const MAX_STEPS: usize = 16;
const MAX_ARGS: usize = 512;
const MAX_ARG_BYTES: usize = 32 * 1024;
const MAX_ARGV_BYTES: usize = 128 * 1024;
const MAX_VARIABLES: usize = 256;
const MAX_FILES: usize = 32;
const MAX_FILE_BYTES: usize = 1024 * 1024;
const MAX_SIGNALS: usize = 64;
const MAX_PATTERN_BYTES: usize = 512;
const MAX_REQUESTS: usize = 16;
const MAX_REQUEST_BYTES: usize = 64 * 1024;
const MAX_DEADLINE_MS: u32 = 60 * 60 * 1000;
const MAX_WALL_MS: u32 = 6 * 60 * 60 * 1000;
const MAX_GRACE_MS: u32 = 60 * 1000;
const MAX_NOTE_BYTES: usize = 4096;
const MAX_NOTES: usize = 64;

/// One thing in a plan that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Stable name of the broken rule.
    pub rule: &'static str,
    /// Step that breaks it.
    pub step: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in step `{}`: {}",
            self.rule,
            self.step.escape_debug(),
            self.found.escape_debug()
        )
    }
}

/// Checks a plan against what the user has granted; nothing in it may exceed that.
pub fn check(plan: &LaunchPlan, grant: &Grant) -> Vec<Violation> {
    let mut checker = Checker { grant, step: String::new(), violations: Vec::new() };
    checker.plan(plan);
    checker.violations
}

/// Checks one step by itself.
pub(crate) fn check_step(step: &Step, grant: &Grant) -> Vec<Violation> {
    let mut checker = Checker { grant, step: step.id.clone(), violations: Vec::new() };
    checker.one_step(step);
    checker.violations
}

/// Checks an image by itself, before it is pulled.
pub(crate) fn check_image(image: &ImageRef, grant: &Grant) -> Vec<Violation> {
    let mut checker = Checker { grant, step: "image".into(), violations: Vec::new() };
    checker.image(image);
    checker.violations
}

struct Checker<'a> {
    grant: &'a Grant,
    step: String,
    violations: Vec<Violation>,
}

impl Checker<'_> {
    fn refuse(&mut self, rule: &'static str, found: impl Into<String>) {
        self.violations.push(Violation { rule, step: self.step.clone(), found: found.into() });
    }

    fn plan(&mut self, plan: &LaunchPlan) {
        if plan.steps.is_empty() || plan.steps.len() > MAX_STEPS {
            self.refuse(
                "step-count",
                format!("{} steps, 1 to {MAX_STEPS} are allowed", plan.steps.len()),
            );
        }
        if plan.notes.len() > MAX_NOTES || plan.notes.iter().any(|it| it.len() > MAX_NOTE_BYTES) {
            self.refuse("note-size", format!("{} notes", plan.notes.len()));
        }
        if plan.notes.iter().any(|it| names::has_hub_token(it)) {
            self.refuse("secret-literal", "a hub token as plain text in the notes");
        }
        if let Some(attach) = plan.attach() {
            return self.attach(plan, &attach);
        }
        if let Some(secret) = plan.extra("attach-secret") {
            self.refuse("attach-secret", secret);
        }
        let mut ids = BTreeSet::new();
        for (index, step) in plan.steps.iter().enumerate() {
            self.step.clone_from(&step.id);
            if !is_step_id(&step.id) {
                self.refuse("step-id", step.id.clone());
            }
            if !ids.insert(&step.id) {
                self.refuse("duplicate-step", step.id.clone());
            }
            let is_last = index + 1 == plan.steps.len();
            if matches!(step.role, Role::Subject(_)) != is_last {
                self.refuse(
                    "one-subject-last",
                    "the last step, and only it, is the measured engine",
                );
            }
            self.one_step(step);
        }
    }

    /// An engine that runs already: nothing is started, and requests go where the user allows them to.
    fn attach(&mut self, plan: &LaunchPlan, attach: &Attach) {
        self.violations.extend(attach::check(plan, &attach.url, self.grant.outbound_network()));
        if let Some(secret) = attach.secret.as_ref().filter(|it| !self.grant.secret(it)) {
            self.refuse("secret-not-granted", secret.clone());
        }
        for step in &plan.steps {
            self.step.clone_from(&step.id);
            self.addresses(step);
            self.limits(step);
        }
    }

    fn one_step(&mut self, step: &Step) {
        self.command(&step.command);
        self.environment(step);
        self.files(step);
        self.container(step);
        if step.network == Network::Outbound && !self.grant.outbound_network() {
            self.refuse("network", "outbound network");
        }
        self.addresses(step);
        self.limits(step);
    }

    /// Where the host's own requests to the engine go.
    fn addresses(&mut self, step: &Step) {
        for probe in &step.readiness.probes {
            match probe {
                Probe::Http(request) => self.request(request),
                Probe::File(name) if !is_relative_path(name) => {
                    self.refuse("probe-file", name.clone());
                }
                Probe::Signal(id) if !step.signals.iter().any(|it| it.id == *id) => {
                    self.refuse("probe-signal", id.clone());
                }
                Probe::File(_) | Probe::Signal(_) | Probe::Tcp | Probe::Exits => (),
            }
        }
        match &step.role {
            Role::Subject(subject) => self.subject(subject),
            Role::Prepare { produces } => {
                if let Some(artefact) = produces {
                    if !is_step_id(&artefact.id) {
                        self.refuse("artefact-name", artefact.id.clone());
                    }
                    for name in artefact.must_contain.iter().filter(|it| !is_relative_path(it)) {
                        self.refuse("artefact-file", name.clone());
                    }
                }
            }
        }
    }

    fn subject(&mut self, subject: &Subject) {
        subject.inspections.iter().for_each(|it| self.request(it));
        if subject.inspections.len() > MAX_REQUESTS {
            self.refuse("probe-size", format!("{} inspections", subject.inspections.len()));
        }
        if let Some(metrics) = subject.metrics.as_ref().filter(|it| !is_request_path(&it.path)) {
            self.refuse("probe-path", metrics.path.clone());
        }
        if let Drive::Http { base_path, .. } = &subject.drive
            && !base_path.is_empty()
            && !is_request_path(base_path)
        {
            self.refuse("probe-path", base_path.clone());
        }
    }

    fn command(&mut self, command: &Command) {
        match &command.program {
            Program::Named(name) if !is_program_name(name) => {
                self.refuse("program-name", name.clone());
            }
            Program::Named(name) if forbidden::is_program(name) => {
                self.refuse("program-never", name.clone());
            }
            Program::Named(name) if !self.grant.program(name) => {
                self.refuse("program-not-granted", name.clone());
            }
            Program::Bundled(name) if !self.grant.bundled(name) => {
                self.refuse("program-not-granted", name.clone());
            }
            Program::Named(_) | Program::Bundled(_) | Program::Entrypoint => (),
        }
        let mut total = 0;
        for arg in &command.args {
            let length: usize = literals(arg).map(str::len).sum();
            total += length;
            if length > MAX_ARG_BYTES {
                self.refuse(
                    "argument-size",
                    format!("an argument of {length} bytes, at most {MAX_ARG_BYTES}"),
                );
            }
            for text in literals(arg) {
                self.text("argument", text);
                if container::is_option(text) {
                    self.refuse("container-option", text);
                }
            }
        }
        if command.args.len() > MAX_ARGS || total > MAX_ARGV_BYTES {
            self.refuse(
                "argument-size",
                format!("{} arguments of {total} bytes", command.args.len()),
            );
        }
    }

    fn environment(&mut self, step: &Step) {
        if step.env.len() > MAX_VARIABLES {
            self.refuse("variable-count", format!("{} variables", step.env.len()));
        }
        let mut names = BTreeSet::new();
        for variable in &step.env {
            let name = variable.name.as_str();
            if !is_variable_name(name) {
                self.refuse("variable-name", name);
                continue;
            }
            if !names.insert(name) {
                self.refuse("duplicate-variable", name);
            }
            let takes_secret = matches!(variable.value, EnvValue::Secret(_));
            if forbidden::is_variable(name) && !(takes_secret && name == "HF_TOKEN") {
                self.refuse("host-owned-variable", name);
            }
            if forbidden::is_secret(name) && !takes_secret {
                self.refuse("secret-as-text", name);
            }
            match &variable.value {
                EnvValue::Literal(_) if !self.grant.env_set(name) => {
                    self.refuse("variable-not-granted", name);
                }
                EnvValue::Literal(parts) => {
                    literals(parts).for_each(|it| self.text("variable", it));
                }
                EnvValue::Pass if !self.grant.env_pass(name) => {
                    self.refuse("variable-not-granted", name);
                }
                EnvValue::Secret(secret) if !self.grant.secret(secret) => {
                    self.refuse("secret-not-granted", secret.clone());
                }
                EnvValue::Pass | EnvValue::Secret(_) => (),
            }
        }
    }

    fn files(&mut self, step: &Step) {
        let total: usize = step.files.iter().map(|it| it.contents.len()).sum();
        if step.files.len() > MAX_FILES || total > MAX_FILE_BYTES {
            self.refuse("file-size", format!("{} files of {total} bytes", step.files.len()));
        }
        let mut names = BTreeSet::new();
        for file in &step.files {
            if !is_relative_path(&file.name) {
                self.refuse("file-name", file.name.clone());
            }
            if !names.insert(&file.name) {
                self.refuse("duplicate-file", file.name.clone());
            }
            if names::has_hub_token(&String::from_utf8_lossy(&file.contents)) {
                self.refuse("secret-literal", "a hub token as plain text in a file");
            }
        }
    }

    /// A text that a process gets: no control characters, which end lines of logs and drive terminals, and no secret.
    fn text(&mut self, what: &'static str, text: &str) {
        if text.contains('\0') {
            let rule = if what == "argument" { "nul-in-argument" } else { "nul-in-variable" };
            self.refuse(rule, format!("a NUL byte in an {what}").replace("an v", "a v"));
        } else if text.chars().any(char::is_control) {
            self.refuse("control-character", text);
        }
        if names::has_hub_token(text) {
            // What was found stays untold: it would be a secret in an error message.
            self.refuse("secret-literal", format!("a hub token as plain text in the {what}s"));
        }
    }

    fn request(&mut self, request: &HttpRequest) {
        if !is_request_path(&request.path) {
            self.refuse("probe-path", request.path.clone());
        }
        if !matches!(request.method.as_str(), "GET" | "POST") {
            self.refuse("probe-method", request.method.clone());
        }
        let size = |it: &Option<String>| it.as_ref().map_or(0, String::len);
        if size(&request.body) + size(&request.expect_body) > MAX_REQUEST_BYTES {
            self.refuse("probe-size", format!("a probe of more than {MAX_REQUEST_BYTES} bytes"));
        }
    }

    fn limits(&mut self, step: &Step) {
        if step.readiness.deadline_ms == 0 || step.readiness.deadline_ms > MAX_DEADLINE_MS {
            self.refuse(
                "deadline",
                format!("a readiness deadline of {} ms", step.readiness.deadline_ms),
            );
        }
        if step.stop.grace_ms > MAX_GRACE_MS {
            self.refuse("grace", format!("a grace of {} ms", step.stop.grace_ms));
        }
        if step.limits.wall_ms.is_some_and(|it| it == 0 || it > MAX_WALL_MS) {
            self.refuse("deadline", format!("a limit of {:?} ms", step.limits.wall_ms));
        }
        if step.readiness.probes.len() > MAX_REQUESTS {
            self.refuse("probe-size", format!("{} probes", step.readiness.probes.len()));
        }
        if step.signals.len() > MAX_SIGNALS
            || step.signals.iter().any(|it| it.pattern.len() > MAX_PATTERN_BYTES)
        {
            self.refuse("signal-size", format!("{} log signals", step.signals.len()));
            return;
        }
        for signal in &step.signals {
            if logs::pattern(signal).is_none() {
                self.refuse("signal-pattern", signal.pattern.clone());
            }
        }
    }
}

fn literals(parts: &[ArgPart]) -> impl Iterator<Item = &str> {
    parts
        .iter()
        .filter_map(|it| if let ArgPart::Literal(text) = it { Some(text.as_str()) } else { None })
}

/// Parts of a plan that hold the value of a secret: a plugin got hold of it some other way than by its name.
pub fn leaks<'s>(plan: &LaunchPlan, secrets: impl Iterator<Item = &'s str>) -> Vec<Violation> {
    let secrets: Vec<&str> = secrets.filter(|it| !it.is_empty()).collect();
    let quoted: Vec<String> = secrets.iter().map(|it| inner(&json(it))).collect();
    let is_said = |text: &str| quoted.iter().any(|it| text.contains(it));
    let is_filed = |file: &PlanFile| {
        let text = String::from_utf8_lossy(&file.contents);
        secrets.iter().any(|it| text.contains(it))
    };
    let violation = |step: &str| Violation {
        rule: "secret-literal",
        step: step.to_owned(),
        found: "the value of a secret as plain text".to_owned(),
    };
    let told = plan.steps.iter().filter(|it| is_said(&json(it)) || it.files.iter().any(is_filed));
    let mut found: Vec<Violation> = told.map(|it| violation(&it.id)).collect();
    if is_said(&json(&(&plan.notes, &plan.effective, &plan.extra))) {
        found.push(violation(""));
    }
    // A step's own name may be what holds it.
    for it in &mut found {
        if secrets.iter().any(|secret| it.step.contains(secret)) {
            it.step.clear();
        }
    }
    found
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plans have string keys only")
}

/// A quoted text without its quotes.
fn inner(quoted: &str) -> String {
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use llem_core::backend::{EnvVar, Permission, Runner};

    use super::*;
    use crate::process::tests::sleeping_step;

    fn check_step(change: impl FnOnce(&mut Step)) -> Vec<&'static str> {
        let mut step = sleeping_step();
        change(&mut step);
        let plan = LaunchPlan {
            steps: vec![step],
            effective: llem_core::backend::Config::new(),
            revisable: false,
            notes: Vec::new(),
            extra: Vec::new(),
        };
        let grant = Grant::new(vec![
            Permission::Program("sleep".into()),
            Permission::EnvSet("APP_*".into()),
        ]);
        check(&plan, &grant).into_iter().map(|it| it.rule).collect()
    }

    fn variable(name: &str) -> EnvVar {
        EnvVar { name: name.into(), value: EnvValue::Literal(vec![ArgPart::Literal("x".into())]) }
    }

    #[test]
    fn a_plan_within_the_grant_passes() {
        assert_eq!(check_step(|step| step.env.push(variable("APP_MODE"))), Vec::<&str>::new());
    }

    #[test]
    fn a_plan_beyond_the_grant_is_refused_by_name() {
        type Change = Box<dyn FnOnce(&mut Step)>;
        let cases: Vec<(&str, Change)> = vec![
            (
                "program-name",
                Box::new(|it| it.command.program = Program::Named("../../bin/sh".into())),
            ),
            (
                "program-not-granted",
                Box::new(|it| it.command.program = Program::Named("python3".into())),
            ),
            ("program-never", Box::new(|it| it.command.program = Program::Named("bash".into()))),
            (
                "program-not-granted",
                Box::new(|it| it.command.program = Program::Bundled("candle".into())),
            ),
            (
                "nul-in-argument",
                Box::new(|it| it.command.args.push(vec![ArgPart::Literal("a\0b".into())])),
            ),
            ("variable-not-granted", Box::new(|it| it.env.push(variable("OTHER")))),
            ("host-owned-variable", Box::new(|it| it.env.push(variable("LD_PRELOAD")))),
            ("variable-name", Box::new(|it| it.env.push(variable("A=B")))),
            (
                "secret-not-granted",
                Box::new(|it| {
                    it.env.push(EnvVar {
                        name: "HF_TOKEN".into(),
                        value: EnvValue::Secret("hf-token".into()),
                    });
                }),
            ),
            ("network", Box::new(|it| it.network = Network::Outbound)),
            ("image-missing", Box::new(|it| it.runner = Runner::Container)),
            ("deadline", Box::new(|it| it.readiness.deadline_ms = u32::MAX)),
            ("grace", Box::new(|it| it.stop.grace_ms = u32::MAX)),
            ("one-subject-last", Box::new(|it| it.role = Role::Prepare { produces: None })),
        ];
        for (rule, change) in cases {
            let found = check_step(change);
            assert!(found.contains(&rule), "{rule} in {found:?}");
        }
    }

    #[test]
    fn files_stay_in_the_scratch_directory() {
        for name in ["../x", "/etc/passwd", "a/../../b", "", "a//b", "a\u{202e}b"] {
            let file = PlanFile { name: name.into(), contents: Vec::new(), executable: false };
            assert!(check_step(|step| step.files.push(file)).contains(&"file-name"), "{name}");
        }
    }

    #[test]
    fn probes_go_to_the_own_port_only() {
        for path in ["http://169.254.169.254/", "//host/x", "/a\r\nHost: b", "health"] {
            let request = HttpRequest {
                id: "ready".into(),
                method: "GET".into(),
                path: path.into(),
                body: None,
                expect_status: None,
                expect_body: None,
            };
            let found = check_step(|step| step.readiness.probes.push(Probe::Http(request)));
            assert!(found.contains(&"probe-path"), "{path}");
        }
    }
}
