//! The check of every launch plan, first-party or not, before anything starts.

use std::{collections::BTreeSet, fmt};

use llem_core::backend::{
    ArgPart, Command, EnvValue, HttpRequest, LaunchPlan, Network, Probe, Program, Role, Runner,
    Step,
};

use crate::Grant;

/// Names that only the host sets: a plugin could otherwise redirect what runs or what it sees.
const HOST_OWNED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "TMPDIR",
    "BASH_ENV",
    "ENV",
    "IFS",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "DOCKER_HOST",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];
const MAX_STEPS: usize = 16;
const MAX_ARGS: usize = 512;
const MAX_ARG_BYTES: usize = 32 * 1024;
const MAX_ARGV_BYTES: usize = 128 * 1024;
const MAX_FILES: usize = 32;
const MAX_FILE_BYTES: usize = 1024 * 1024;
const MAX_SIGNALS: usize = 64;
const MAX_PATTERN_BYTES: usize = 512;
const MAX_DEADLINE_MS: u32 = 60 * 60 * 1000;
const MAX_GRACE_MS: u32 = 60 * 1000;

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
        let mut ids = BTreeSet::new();
        for (index, step) in plan.steps.iter().enumerate() {
            self.step.clone_from(&step.id);
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

    fn one_step(&mut self, step: &Step) {
        self.command(&step.command);
        self.environment(step);
        self.files(step);
        self.image(step);
        if step.network == Network::Outbound && !self.grant.outbound_network() {
            self.refuse("network", "outbound network");
        }
        for probe in &step.readiness.probes {
            if let Probe::Http(request) = probe {
                self.request(request);
            }
        }
        if let Role::Subject(subject) = &step.role {
            subject.inspections.iter().for_each(|it| self.request(it));
        }
        self.limits(step);
    }

    fn command(&mut self, command: &Command) {
        match &command.program {
            Program::Named(name) if !is_program_name(name) => {
                self.refuse("program-name", name.clone());
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
            if literals(arg).any(|it| it.contains('\0')) {
                self.refuse("nul-in-argument", "an argument with a NUL byte");
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
            if HOST_OWNED.contains(&name.to_ascii_uppercase().as_str()) || name.starts_with("LD_") {
                let is_secret_slot = matches!(variable.value, EnvValue::Secret(_));
                if !(is_secret_slot && name == "HF_TOKEN") {
                    self.refuse("host-owned-variable", name);
                }
            }
            match &variable.value {
                EnvValue::Literal(_) if !self.grant.env_set(name) => {
                    self.refuse("variable-not-granted", name);
                }
                EnvValue::Literal(parts) if literals(parts).any(|it| it.contains('\0')) => {
                    self.refuse("nul-in-variable", name);
                }
                EnvValue::Pass if !self.grant.env_pass(name) => {
                    self.refuse("variable-not-granted", name);
                }
                EnvValue::Secret(secret) if !self.grant.secret(secret) => {
                    self.refuse("secret-not-granted", secret.clone());
                }
                EnvValue::Literal(_) | EnvValue::Pass | EnvValue::Secret(_) => (),
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
        }
    }

    fn image(&mut self, step: &Step) {
        match (step.runner, &step.image) {
            (Runner::Container, Some(image)) if !self.grant.image(&image.repository) => {
                self.refuse("image-not-granted", image.repository.clone());
            }
            (Runner::Container, None) => {
                self.refuse("image-missing", "a container step without an image");
            }
            (Runner::Process, Some(image)) => self.refuse("image-unused", image.repository.clone()),
            (Runner::Container, Some(_)) | (Runner::Process, None) => (),
        }
        if step.runner == Runner::Process && step.command.program == Program::Entrypoint {
            self.refuse("program-name", "a process step with an image's entry point");
        }
    }

    fn request(&mut self, request: &HttpRequest) {
        let clean = |text: &str| text.chars().all(|c| !c.is_control() && c != ' ');
        if !request.path.starts_with('/') || request.path.starts_with("//") || !clean(&request.path)
        {
            self.refuse("probe-path", request.path.clone());
        }
        if !matches!(request.method.as_str(), "GET" | "POST") {
            self.refuse("probe-method", request.method.clone());
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
        if step.signals.len() > MAX_SIGNALS
            || step.signals.iter().any(|it| it.pattern.len() > MAX_PATTERN_BYTES)
        {
            self.refuse("signal-size", format!("{} log signals", step.signals.len()));
        }
    }
}

fn literals(parts: &[ArgPart]) -> impl Iterator<Item = &str> {
    parts
        .iter()
        .filter_map(|it| if let ArgPart::Literal(text) = it { Some(text.as_str()) } else { None })
}

fn is_program_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-'))
}

fn is_variable_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn is_relative_path(name: &str) -> bool {
    let segment = |it: &str| {
        !it.is_empty()
            && it != "."
            && it != ".."
            && it.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    name.len() <= 200 && name.split('/').all(segment)
}

#[cfg(test)]
mod tests {
    use llem_core::backend::{EnvVar, Permission, PlanFile};

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
                Box::new(|it| it.command.program = Program::Named("bash".into())),
            ),
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
