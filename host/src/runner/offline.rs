//! Offline mode: the workload in batches through a worker; the whole of it is the window.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use llem_batch::{Generate, Load, Prompts};
use llem_core::{
    backend::Drive,
    energy::Mode,
    event::Phase,
    latency::RequestLog,
    record::{EngineReport, Measured},
    workload::{Content, Prompt, Workload},
};
use llem_load::batch::{BatchError, BatchSession, Patience};
use llem_meter::GUARD;
use serde_json::{Map, Value};

use super::{
    drive::{Idle, conclude, context_baseline, driven, host_cpu, wait},
    engine::Engine,
    failure::{Fault, TIMEOUT},
    trial::Attempt,
    warmup,
};

/// Longest time that a worker may take to load a model.
const LOAD_DEADLINE: Duration = Duration::from_hours(1);
/// Longest time that one batch may take.
const BATCH_DEADLINE: Duration = Duration::from_hours(1);

/// A worker with its model loaded.
pub(super) struct Worker {
    session: BatchSession,
    settings: Map<String, Value>,
    next_id: u64,
    load_seconds: f64,
    version: String,
    memory_bytes: Option<u64>,
    effective: Vec<(String, Value)>,
}

/// Prompts that go to the worker in one message.
pub(super) struct Batch {
    pub(super) prompts: Prompts,
    pub(super) max_tokens: u32,
    pub(super) size: u32,
}

/// Measures a worker.
pub(super) fn measure(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    report: &mut EngineReport,
) -> Result<Measured, Fault> {
    let Drive::Batch { load, body, batch_size, .. } = engine.subject().drive.clone() else {
        unreachable!("only a worker is driven in batches");
    };
    let started = Instant::now();
    let mut worker = match engine.take_worker() {
        Some(worker) => worker.with(fields(body)),
        None => Worker::load(attempt, engine, fields(load), fields(body), started)?,
    };
    worker.describe(report);
    attempt.recording.set_subject(engine.running().pid());
    let load_seconds = worker.load_seconds;
    context_baseline(attempt, engine, Idle::Before)?;

    attempt.phase(Phase::Warmup);
    let warmup = warmup::of_worker(attempt, engine, &mut worker, batch_size)?;
    let (workload, requests) = (&attempt.trial.workload, attempt.trial.settings.requests);
    let batches = round_of(workload, requests, 0, batch_size)?;

    // The device is idle before and after the window, so that what its counter publishes late is seen.
    wait(attempt, engine, Phase::Window, GUARD, &mut |_, _| ())?;
    attempt.phase(Phase::Window);
    let cpu = host_cpu();
    let log = run_all(attempt, engine, &mut worker, &batches)?;
    let window = driven(log.started_ns, log.ended_ns, Mode::Isolated, cpu);
    attempt.basis.windows.push(window);
    wait(attempt, engine, Phase::Window, GUARD, &mut |_, _| ())?;
    context_baseline(attempt, engine, Idle::After)?;
    engine.keep_worker(worker);
    Ok(conclude(attempt, load_seconds, warmup, log))
}

fn run_all(
    attempt: &mut Attempt<'_>,
    engine: &mut Engine,
    worker: &mut Worker,
    batches: &[Batch],
) -> Result<RequestLog, Fault> {
    let mut log = RequestLog::default();
    let mut done = 0_u32;
    let all: u32 = batches.iter().map(|it| it.size).sum();
    for batch in batches {
        let before = f64::from(done) / f64::from(all);
        let run = worker.generate(attempt, engine, batch, Phase::Window, before)?;
        if log.requests.is_empty() {
            log.started_ns = run.started_ns;
        }
        log.ended_ns = run.ended_ns;
        log.requests.extend(run.requests);
        log.steps.extend(run.steps);
        done += batch.size;
    }
    for (index, request) in (0..).zip(&mut log.requests) {
        request.index = index;
    }
    Ok(log)
}

impl Worker {
    fn load(
        attempt: &mut Attempt<'_>,
        engine: &mut Engine,
        settings: Map<String, Value>,
        body: Map<String, Value>,
        started: Instant,
    ) -> Result<Self, Fault> {
        let (writer, reader) =
            engine.running().take_batch().expect("a batch step has its pipes, taken once");
        let mut session = BatchSession::new(writer, reader)
            .map_err(|it| Fault::from_error(Phase::Load, "launch", &it))?;
        let load = Load {
            model: engine.model(&attempt.trial.model.location),
            settings,
            seed: attempt.trial.seed,
        };
        let is_over = || attempt.bench.cancel.is_wanted();
        let patience = Patience { deadline: attempt.within(LOAD_DEADLINE), is_over: &is_over };
        let loaded = session.load(load, patience).map_err(|it| fault(engine, Phase::Load, &it))?;
        Ok(Self {
            session,
            settings: body,
            next_id: 1,
            load_seconds: started.elapsed().as_secs_f64(),
            version: format!("{} {}", loaded.engine, loaded.version),
            memory_bytes: loaded.memory_bytes,
            effective: loaded.effective.into_iter().collect(),
        })
    }

    /// The same worker with other settings of requests.
    fn with(mut self, settings: Map<String, Value>) -> Self {
        self.settings = settings;
        self
    }

    /// Reports what it said when its model was loaded.
    fn describe(&self, report: &mut EngineReport) {
        report.version = Some(self.version.clone());
        report.memory_bytes = self.memory_bytes;
        // A worker names settings without their section; the plan knows the paths.
        for (name, value) in &self.effective {
            let path = report
                .planned
                .keys()
                .find(|it| it.split_once('.').is_some_and(|(_, it)| it == name));
            let path = path.cloned().unwrap_or_else(|| name.clone());
            report.effective.insert(path, value.clone().into());
        }
    }

    /// Runs one batch, with progress; `before` is the part of the phase that is done already.
    pub(super) fn generate(
        &mut self,
        attempt: &mut Attempt<'_>,
        engine: &mut Engine,
        batch: &Batch,
        phase: Phase,
        before: f64,
    ) -> Result<RequestLog, Fault> {
        attempt.check(phase)?;
        let generate = Generate {
            id: self.next_id,
            prompts: batch.prompts.clone(),
            max_tokens: batch.max_tokens,
            exact: true,
            settings: self.settings.clone(),
            return_text: false,
        };
        self.next_id += 1;
        let mut looked = Instant::now();
        let mut tokens = 0_u64;
        // One batch can take an hour; the user who wants to stop does not wait for its end.
        let cancel = attempt.bench.cancel;
        let patience =
            Patience { deadline: attempt.within(BATCH_DEADLINE), is_over: &|| cancel.is_wanted() };
        let run = self.session.generate(generate, patience, |step| {
            tokens += step.decode_tokens;
            let elapsed = looked.elapsed();
            if elapsed >= Duration::from_millis(500) {
                let speed =
                    f64::from(u32::try_from(tokens).unwrap_or(u32::MAX)) / elapsed.as_secs_f64();
                attempt.progress(Some(speed), Some(before));
                (looked, tokens) = (Instant::now(), 0);
            }
        });
        Ok(run.map_err(|it| fault(engine, phase, &it))?.log)
    }

    pub(super) fn quit(self) {
        // A worker that does not say goodbye is stopped like any other engine.
        drop(self.session.quit(Instant::now() + Duration::from_secs(10)));
    }
}

/// The workload, in batches: round 0 is what is measured, later ones are as large and share no prompt with it.
pub(super) fn round_of(
    workload: &Workload,
    requests: NonZeroU32,
    round: u64,
    batch_size: Option<u32>,
) -> Result<Vec<Batch>, Fault> {
    let count = u64::from(requests.get());
    let prompt = |index| match round {
        0 => workload.prompt(index),
        _ => workload.unseen(round * count + index),
    };
    let prompts: Vec<Prompt> = (0..count).map(prompt).collect();
    batches(&prompts, batch_size)
}

/// Prompts in messages of at most `size`; one message has one output length.
fn batches(prompts: &[Prompt], size: Option<u32>) -> Result<Vec<Batch>, Fault> {
    let size = size.and_then(|it| usize::try_from(it).ok()).unwrap_or(usize::MAX).max(1);
    let mut sorted: Vec<&Prompt> = prompts.iter().collect();
    sorted.sort_by_key(|it| it.output_tokens);
    let by_length = sorted.chunk_by(|a, b| a.output_tokens == b.output_tokens);
    by_length.flat_map(|it| it.chunks(size.min(it.len()))).map(batch).collect()
}

fn batch(prompts: &[&Prompt]) -> Result<Batch, Fault> {
    let tokens: Option<Vec<Vec<u32>>> = prompts
        .iter()
        .map(|it| if let Content::Tokens(ids) = &it.content { Some(ids.clone()) } else { None })
        .collect();
    let texts: Option<Vec<String>> = prompts
        .iter()
        .map(|it| if let Content::Text(text) = &it.content { Some(text.clone()) } else { None })
        .collect();
    let form = tokens.map(Prompts::Tokens).or(texts.map(Prompts::Texts));
    let prompts_of_one_form = form.ok_or_else(|| {
        Fault::new(
            Phase::Warmup,
            "bad-workload",
            "conversations need a chat endpoint, so they need server mode",
        )
    })?;
    Ok(Batch {
        prompts: prompts_of_one_form,
        max_tokens: prompts.first().map_or(0, |it| it.output_tokens),
        size: u32::try_from(prompts.len()).unwrap_or(u32::MAX),
    })
}

fn fields(settings: Vec<(String, llem_core::backend::Value)>) -> Map<String, Value> {
    settings.into_iter().map(|(name, value)| (name, value.into())).collect()
}

fn fault(engine: &mut Engine, phase: Phase, error: &BatchError) -> Fault {
    match error {
        BatchError::Worker(it) => {
            let kind =
                KINDS.iter().find(|kind| **kind == it.kind).copied().unwrap_or("engine-error");
            if phase == Phase::Load {
                // A worker without a model ends by itself, and what it then prints says why.
                let deadline = Instant::now() + Duration::from_secs(2);
                while Instant::now() < deadline && engine.check_alive(phase).is_ok() {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            Fault::new(phase, kind, it.message.clone())
        }
        BatchError::WorkerEnded | BatchError::Pipe(_) => {
            // The exit code arrives a moment after the end of the pipe.
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline {
                if let Err(fault) = engine.check_alive(phase) {
                    return fault;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Fault::from_error(phase, "crash", error)
        }
        BatchError::Timeout => Fault::from_error(phase, TIMEOUT, error),
        BatchError::GivenUp => Fault::cancelled(phase),
        BatchError::Protocol(_)
        | BatchError::Unexpected { .. }
        | BatchError::RequestCount { .. } => Fault::from_error(phase, "protocol", error),
    }
}

/// Kinds of failure that workers tell apart.
const KINDS: &[&str] = &[
    "out-of-memory",
    "model-not-found",
    "bad-parameter",
    "unsupported-hardware",
    "protocol",
    "crash",
];

#[cfg(test)]
mod tests {
    use llem_core::workload::{Dataset, Form, Length, Synthetic};

    use super::*;

    fn prompt(output_tokens: u32) -> Prompt {
        Prompt { content: Content::Tokens(vec![1, 2, 3]), output_tokens }
    }

    #[test]
    fn a_warm_up_has_batches_like_the_window_and_none_of_its_prompts() {
        let lengths = || Length::Values { values: vec![4, 8] };
        let synthetic = Synthetic {
            vocabulary: 10..1000,
            input_tokens: lengths(),
            output_tokens: Length::Exact(8),
            shared_prefix_tokens: 0,
            form: Form::TokenIds,
            seed: 42,
        };
        let records =
            (0..5).map(|it| Prompt { content: Content::Tokens(vec![it, 7]), ..prompt(8) });
        let dataset = Dataset::in_order(records.collect()).expect("there are records");
        for workload in [Workload::Synthetic(synthetic), Workload::Dataset(dataset)] {
            let round = |round| {
                let requests = NonZeroU32::new(5).expect("5 is not 0");
                round_of(&workload, requests, round, Some(2)).expect("all are tokens")
            };
            let tokens = |it: &[Batch]| -> Vec<Vec<u32>> {
                let of = |it: &Batch| match &it.prompts {
                    Prompts::Tokens(tokens) => tokens.clone(),
                    Prompts::Texts(_) => panic!("tokens expected"),
                };
                it.iter().flat_map(of).collect()
            };
            let window = round(0);
            for warmup in [round(1), round(2)] {
                assert_eq!(warmup.len(), window.len());
                let seen = tokens(&window);
                assert!(tokens(&warmup).iter().all(|it| !seen.contains(it)), "{workload:?}");
            }
        }
    }

    #[test]
    fn a_batch_has_one_output_length_and_at_most_its_size() {
        let prompts: Vec<Prompt> = [8, 4, 8, 8, 4].into_iter().map(prompt).collect();
        let shape = |size| {
            let batches = batches(&prompts, size).expect("all are tokens");
            batches.iter().map(|it| (it.max_tokens, it.size)).collect::<Vec<_>>()
        };
        assert_eq!(shape(None), [(4, 2), (8, 3)]);
        assert_eq!(shape(Some(2)), [(4, 2), (8, 2), (8, 1)]);
    }
}
