//! Server mode: traffic over HTTP, windows cut out of the running load.

use std::{sync::Arc, time::Duration};

use llem_core::{
    backend::Drive,
    energy::Mode,
    event::Phase,
    latency::RequestLog,
    record::{Measured, WarmupReport},
};
use llem_load::http::{self, Control, Plan, Protocol, UsageRequest};
use llem_meter::now_ns;

use super::{
    client,
    drive::{Idle, conclude, context_baseline, driven, host_cpu, wait},
    engine::Engine,
    failure::Fault,
    observe::Observer,
    search,
    trial::Attempt,
    warmup,
};

/// Measures a running server.
pub(super) fn measure(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    load_seconds: f64,
) -> Result<Measured, Fault> {
    if let Some(wanted) = attempt.trial.measure.search {
        return search::measure(attempt, engine, wanted, load_seconds);
    }
    context_baseline(attempt, engine, Idle::Before)?;
    let plan = plan(attempt, engine)?;
    let control = Arc::new(Control::new());
    let load = http::spawn(plan, Arc::clone(&control))
        .map_err(|it| Fault::from_error(Phase::Warmup, "load", &it))?;
    let observer = Observer::start(engine);
    let warmup = drive(attempt, engine, &control, &load, &observer);
    let observed = observer.stop();
    // Requests in flight are followed to their end, unless the window already failed.
    if warmup.is_ok() {
        control.drain();
    } else {
        control.abort();
    }
    let log = load.join().map_err(|it| Fault::from_error(Phase::Window, "load", &it));
    let warmup = match (warmup, &log) {
        (Ok(warmup), _) => warmup,
        (Err(fault), Ok(log)) => return Err(explain(fault, log)),
        (Err(fault), Err(_)) => return Err(fault),
    };
    let log = log?;
    engine.inspect("end");
    context_baseline(attempt, engine, Idle::After)?;
    let mut measured = conclude(attempt, load_seconds, warmup, log);
    let warnings = observed.complete(&mut measured.windows, attempt.requests.as_ref());
    attempt.warnings.extend(warnings);
    attempt.observed = observed;
    if measured.windows.iter().all(|it| it.metrics.output_tokens == 0) {
        let fault = Fault::new(Phase::Window, "no-output", "no token arrived in any window");
        return Err(explain(fault, attempt.requests.as_ref().expect("it was just set")));
    }
    Ok(measured)
}

pub(super) fn drive(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    control: &Control,
    load: &http::Running,
    observer: &Observer,
) -> Result<WarmupReport, Fault> {
    attempt.phase(Phase::Warmup);
    let warmup = warmup::of_server(attempt, engine, control)?;
    attempt.phase(Phase::Window);
    for _ in 0..attempt.trial.measure.windows.get() {
        observer.edge();
        let (begin_ns, cpu) = (now_ns(), host_cpu());
        let length = attempt.trial.measure.window;
        let mut speed = Speed::new(control);
        wait(attempt, engine, Phase::Window, length, &mut |attempt, done| {
            attempt.progress(speed.tokens_per_second(control), Some(done));
        })?;
        if load.is_finished() {
            return Err(Fault::new(
                Phase::Window,
                "load",
                "the traffic ended before the window did",
            ));
        }
        attempt.basis.windows.push(driven(begin_ns, now_ns(), Mode::Running, cpu));
        observer.edge();
    }
    Ok(warmup)
}

/// The load as a study describes it.
pub(super) fn plan(attempt: &Attempt<'_>, engine: &Engine) -> Result<Plan, Fault> {
    let trial = attempt.trial;
    let Drive::Http { protocol, base_path, served_model, body, reports_usage } =
        &engine.subject().drive
    else {
        unreachable!("only a server is driven over HTTP");
    };
    let bad_plan = |message: String| Fault::new(Phase::Warmup, "bad-plan", message);
    let protocol = Protocol::from_name(protocol).ok_or_else(|| {
        bad_plan(format!("the plugin asks for the unknown protocol `{protocol}`"))
    })?;
    let traffic = trial.traffic.as_ref().ok_or_else(|| {
        bad_plan("the plugin started a server for an experiment without traffic".to_owned())
    })?;
    let target = engine.target(base_path);
    let arrival = traffic.process(&trial.workload);
    let mut plan = Plan::new(target, protocol, served_model, trial.workload.clone(), arrival);
    plan.body = body.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    plan.usage = if *reports_usage { UsageRequest::Final } else { UsageRequest::Absent };
    plan.seed = trial.seed;
    plan.staggered = true;
    client::place(&mut plan);
    Ok(plan)
}

/// Says what the requests died of.
fn explain(mut fault: Fault, log: &RequestLog) -> Fault {
    let failed = log.requests.iter().filter(|it| it.detail.is_some() && !it.is_completed());
    if let Some(first) = failed.clone().next() {
        let said = first.detail.as_deref().filter(|it| !it.is_empty());
        let status = first.http_status.map(|it| format!("status {it}"));
        let parts: Vec<&str> = status.as_deref().into_iter().chain(said).collect();
        let (detail, count) = (parts.join(", "), failed.count());
        fault.message =
            format!("{}; {count} requests failed, the first with: {detail}", fault.message);
    }
    fault
}

/// Output tokens a second over the last few looks.
pub(super) struct Speed {
    at: std::time::Instant,
    tokens: u64,
    shown: Option<f64>,
}

impl Speed {
    pub(super) fn new(control: &Control) -> Self {
        Self {
            at: std::time::Instant::now(),
            tokens: control.progress().output_tokens,
            shown: None,
        }
    }

    pub(super) fn tokens_per_second(&mut self, control: &Control) -> Option<f64> {
        let elapsed = self.at.elapsed();
        if elapsed >= Duration::from_secs(1) {
            let tokens = control.progress().output_tokens;
            let new = u32::try_from(tokens.saturating_sub(self.tokens)).unwrap_or(u32::MAX);
            self.shown = Some(f64::from(new) / elapsed.as_secs_f64());
            (self.at, self.tokens) = (std::time::Instant::now(), tokens);
        }
        self.shown
    }
}
