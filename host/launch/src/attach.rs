//! An engine that runs already: found at its address instead of started, and left running.

use std::{
    net::{IpAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use llem_core::backend::{Drive, LaunchPlan, Probe, Program, Role, Step};
use llem_load::target::{Target, TargetError};

use crate::{NotReady, Violation, readiness};

/// An engine of somebody else's.
#[derive(Clone, Debug)]
pub struct Attached {
    url: String,
    origin: Target,
}

impl Attached {
    /// Takes an address apart; nothing is sent yet.
    pub fn to(url: &str) -> Result<Self, TargetError> {
        Ok(Self { url: url.trim_end_matches('/').to_owned(), origin: Target::parse(url)? })
    }

    /// A path of the engine that all its endpoints share.
    pub fn target(&self, base_path: &str) -> Result<Target, TargetError> {
        Target::parse(&format!("{}{base_path}", self.url))
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
        !addresses.is_empty() && addresses.iter().all(|it| is_own(it.ip()))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.origin.port()
    }
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
        let attached = Attached::to(&format!("http://127.0.0.1:{port}")).expect("an address");
        attached.wait_ready(&sleeping_step(), &|| false).expect("it listens");
        assert!(attached.is_local() && attached.port() == port);
        drop(listener);
        let error = attached.wait_ready(&sleeping_step(), &|| false).expect_err("nobody listens");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
    }

    #[test]
    fn another_machine_is_not_this_one() {
        // An address that is reserved for documentation, so nobody's.
        assert!(!Attached::to("http://192.0.2.7:80").expect("an address").is_local());
    }
}
