//! An engine that runs already: found at its address instead of started, and left running.

use std::{
    net::{IpAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use llem_core::backend::{Attach, Drive, LaunchPlan, Probe, Program, Role, Step};
use llem_load::target::{ApiKey, Target, TargetError};

use crate::{HostEnvironment, NotReady, Violation, environment::secret_variable, readiness};

/// An engine of somebody else's.
#[derive(Clone, Debug)]
pub struct Attached {
    url: String,
    origin: Target,
    is_elsewhere: bool,
}

/// Why an engine that runs already can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Its address is none.
    #[error("the plan's address is none")]
    Address(#[from] TargetError),
    /// Its key is not there.
    #[error(
        "the secret `{secret}` is not there: list it in the plugin's `secrets`, and set the environment variable `{variable}`"
    )]
    Absent {
        /// Its name.
        secret: String,
        /// Where its value is looked for.
        variable: String,
    },
    /// Its key can't stand in a header.
    #[error(
        "the value of the secret `{0}` is no key: it is empty, or has spaces or other than ASCII characters"
    )]
    Key(String),
}

impl AttachError {
    /// A stable name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address(_) => "bad-plan",
            Self::Absent { .. } | Self::Key(_) => "no-secret",
        }
    }
}

impl Attached {
    /// Takes an address apart and finds the key; nothing is sent yet.
    pub fn to(attach: &Attach, host: &HostEnvironment) -> Result<Self, AttachError> {
        let key = attach.secret.as_ref().map(|name| key(name, host)).transpose()?;
        let url = attach.url.trim_end_matches('/').to_owned();
        let origin = Target::parse(&url)?.with_key(key);
        Ok(Self { url, origin, is_elsewhere: attach.is_elsewhere })
    }

    /// A path of the engine that all its endpoints share.
    pub fn target(&self, base_path: &str) -> Target {
        self.origin.clone().below(base_path)
    }

    /// Waits until every probe of its step holds.
    pub fn wait_ready(&self, step: &Step, cancelled: &dyn Fn() -> bool) -> Result<(), NotReady> {
        let deadline = Duration::from_millis(step.readiness.deadline_ms.into());
        let interval = readiness::interval(step);
        let started = Instant::now();
        let mut pending: Vec<&Probe> = step.readiness.probes.iter().collect();
        loop {
            pending.retain(|probe| !self.holds(probe));
            let Some(first) = pending.first() else { return Ok(()) };
            if cancelled() {
                return Err(NotReady::Cancelled);
            }
            if started.elapsed() > deadline {
                let waiting_for = match first {
                    Probe::Http(request) => {
                        format!("{} {}{}", request.method, self.url, request.path)
                    }
                    _ => format!("a connection to {}", self.url),
                };
                return Err(NotReady::Deadline { deadline, waiting_for });
            }
            thread::sleep(interval);
        }
    }

    fn holds(&self, probe: &Probe) -> bool {
        match probe {
            Probe::Http(request) => readiness::answers(request, &self.origin),
            _ => self.is_reachable(),
        }
    }

    /// Whether it accepts connections now.
    pub fn is_reachable(&self) -> bool {
        let addresses = self.origin.resolve().unwrap_or_default();
        addresses
            .iter()
            .any(|it| std::net::TcpStream::connect_timeout(it, Duration::from_secs(5)).is_ok())
    }

    /// Whether it runs on this machine, so that this machine's instruments see what it uses.
    pub fn is_local(&self) -> bool {
        let addresses = self.origin.resolve().unwrap_or_default();
        !self.is_elsewhere && !addresses.is_empty() && addresses.iter().all(|it| is_own(it.ip()))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.origin.port()
    }
}

fn key(secret: &str, host: &HostEnvironment) -> Result<ApiKey, AttachError> {
    let value = host.secrets.get(secret).ok_or_else(|| AttachError::Absent {
        secret: secret.to_owned(),
        variable: secret_variable(secret),
    })?;
    ApiKey::new(value.clone()).ok_or_else(|| AttachError::Key(secret.to_owned()))
}

/// Whether an address belongs to this machine: only such a one can be bound.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// Checks a plan that attaches: everything in it that would start something is a mistake or an attempt.
pub(crate) fn check(plan: &LaunchPlan, url: &str, may_reach_out: bool) -> Vec<Violation> {
    let mut found = Vec::new();
    let id = plan.steps.first().map(|it| it.id.clone()).unwrap_or_default();
    let mut refuse =
        |rule, text: &str| found.push(Violation { rule, step: id.clone(), found: text.to_owned() });
    if !may_reach_out {
        refuse("network", url);
    }
    if !Target::parse(url).is_ok_and(|it| it.base_path().is_empty()) {
        refuse("attach-address", url);
    }
    let starts_nothing = |step: &Step| {
        let http =
            matches!(&step.role, Role::Subject(it) if matches!(it.drive, Drive::Http { .. }));
        let probes = step.readiness.probes.iter();
        http && step.command.program == Program::Entrypoint
            && step.command.args.is_empty()
            && step.image.is_none()
            && step.env.is_empty()
            && step.mounts.is_empty()
            && step.files.is_empty()
            && probes.into_iter().all(|it| matches!(it, Probe::Http(_) | Probe::Tcp))
    };
    if plan.steps.len() != 1 || !plan.steps.iter().all(starts_nothing) {
        refuse("attach-starts", "a plan that attaches has one step, which starts nothing");
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use llem_core::backend::{Config, Permission};

    use super::*;
    use crate::{Grant, check as check_plan, process::tests::sleeping_step};

    fn plan(url: &str, change: impl FnOnce(&mut Step)) -> LaunchPlan {
        let mut step = sleeping_step();
        step.command.program = Program::Entrypoint;
        step.command.args.clear();
        change(&mut step);
        LaunchPlan {
            steps: vec![step],
            effective: Config::new(),
            revisable: false,
            notes: Vec::new(),
            extra: vec![("attach".into(), url.into())],
        }
    }

    fn attach(url: &str) -> Attach {
        Attach { url: url.into(), secret: None, is_elsewhere: false }
    }

    fn to(url: &str) -> Result<Attached, AttachError> {
        Attached::to(&attach(url), &HostEnvironment::default())
    }

    fn rules(plan: &LaunchPlan, permissions: Vec<Permission>) -> Vec<&'static str> {
        check_plan(plan, &Grant::new(permissions)).into_iter().map(|it| it.rule).collect()
    }

    fn network() -> Vec<Permission> {
        vec![Permission::Network("to the endpoint".into())]
    }

    #[test]
    fn attaching_needs_the_network_and_starts_nothing() {
        let good = plan("http://127.0.0.1:8000", |_| ());
        assert_eq!(rules(&good, network()), Vec::<&str>::new());
        assert_eq!(rules(&good, Vec::new()), ["network"]);
        for url in ["http://h:1/v1", "file:///etc/passwd", "", "http://u@h:1"] {
            assert_eq!(rules(&plan(url, |_| ()), network()), ["attach-address"], "{url}");
        }
        let starts = plan("http://h:1", |it| it.command.program = Program::Named("sleep".into()));
        assert_eq!(rules(&starts, network()), ["attach-starts"]);
        let waits = plan("http://h:1", |it| it.readiness.probes.push(Probe::Exits));
        assert_eq!(rules(&waits, network()), ["attach-starts"]);
    }

    #[test]
    fn an_engine_is_ready_when_it_accepts_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let attached = to(&format!("http://127.0.0.1:{port}")).expect("an address");
        attached.wait_ready(&sleeping_step(), &|| false).expect("it listens");
        assert!(attached.is_local() && attached.port() == port);
        drop(listener);
        let error = attached.wait_ready(&sleeping_step(), &|| false).expect_err("nobody listens");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }

    #[test]
    fn another_machine_is_not_this_one() {
        // An address that is reserved for documentation, so nobody's.
        assert!(!to("http://192.0.2.7:80").expect("an address").is_local());
        // What is said to be behind a tunnel is elsewhere, whatever its address.
        let attach = Attach { is_elsewhere: true, ..attach("http://127.0.0.1:80") };
        let tunnel = Attached::to(&attach, &HostEnvironment::default()).expect("an address");
        assert!(!tunnel.is_local());
    }

    #[test]
    fn a_key_is_a_secret_that_is_there_and_can_be_sent() {
        let attach = Attach { secret: Some("my-key".into()), ..attach("http://127.0.0.1:80") };
        let with = |value: Option<&str>| {
            let secrets = value.map(|it| ("my-key".to_owned(), it.to_owned())).into_iter();
            let host = HostEnvironment { secrets: secrets.collect(), ..HostEnvironment::default() };
            Attached::to(&attach, &host).map_err(|it| it.to_string())
        };
        assert!(with(Some("sk-1")).is_ok());
        assert!(with(None).expect_err("it is not set").contains("MY_KEY"));
        let error = with(Some("s p a c e")).expect_err("it has spaces");
        assert!(!error.contains("s p a c e") && error.contains("my-key"), "{error}");
    }

    #[test]
    fn a_key_needs_its_grant_and_an_engine_that_runs_already() {
        let mut with_key = plan("http://127.0.0.1:8000", |_| ());
        with_key.extra.push(("attach-secret".into(), "my-key".into()));
        assert_eq!(rules(&with_key, network()), ["secret-not-granted"]);
        let both = [network(), vec![Permission::Secret("my-key".into())]].concat();
        assert_eq!(rules(&with_key, both.clone()), Vec::<&str>::new());
        with_key.extra.remove(0);
        assert!(rules(&with_key, both).contains(&"attach-secret"));
    }
}
