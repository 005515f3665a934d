//! One batch from its prompts to its times. Writes events, reads none.

use llem_batch::{Event, FinishReason, Generate, Prompts, RequestTimes, Step};

use super::channel::Channel;
use crate::{
    arithmetic::{count, index},
    clock::monotonic_ns,
    engine::{Engine, Facts, Output, Request},
    error::EngineError,
    sampling::{self, Sampling},
};

/// Shortest time between two `step` events: 50 a second.
const STEP_INTERVAL_NS: u64 = 20_000_000;

struct Progress {
    times: RequestTimes,
    tokens: Vec<u32>,
}

/// Turns a batch into requests, or says what is wrong with it.
pub(super) fn prepare(generate: &Generate, facts: &Facts) -> Result<Vec<Request>, EngineError> {
    let prompts = match &generate.prompts {
        Prompts::Tokens(prompts) => prompts.clone(),
        Prompts::Texts(texts) => {
            texts.iter().map(|text| facts.encode(text, true)).collect::<Result<_, _>>()?
        }
    };
    let sampling = Sampling::from_settings(&generate.settings)?;
    let seed = sampling::seed(&generate.settings)?.unwrap_or(facts.seed);
    let mut requests = Vec::new();
    for (prompt, number) in prompts.into_iter().zip(0..) {
        let request = Request {
            prompt,
            max_tokens: index(generate.max_tokens),
            min_tokens: 0,
            ignore_end: generate.exact,
            sampling,
            seed: sampling::derived_seed(seed, number),
        };
        facts.check(&request)?;
        requests.push(request);
    }
    Ok(requests)
}

/// Runs a batch and tells the host of it.
pub(super) fn run(
    engine: &mut Engine,
    facts: &Facts,
    generate: &Generate,
    requests: Vec<Request>,
    channel: &mut Channel,
) -> Result<(), EngineError> {
    let id = generate.id;
    let start = monotonic_ns();
    channel.send(&Event::Begin { id, at_ns: start })?;
    let mut progress = Vec::new();
    for (request, number) in requests.into_iter().zip(0..) {
        let scheduled_ns = monotonic_ns();
        progress.push(Progress {
            times: RequestTimes {
                input_tokens: count(request.prompt.len()),
                output_tokens: 0,
                scheduled_ns,
                first_token_ns: None,
                last_token_ns: None,
                finish: FinishReason::Error,
                text: None,
            },
            tokens: Vec::new(),
        });
        if let Err(error) = engine.submit(number, request) {
            engine.clear();
            return channel.send_error(&error, false);
        }
    }
    if let Some(error) = compute(engine, id, start, &mut progress, channel)? {
        engine.clear();
        return channel.send_error(&error, false);
    }
    let at_ns = monotonic_ns();
    let requests =
        progress.iter().map(|progress| finished(progress, generate.return_text, facts)).collect();
    channel.send(&Event::End { id, at_ns, requests })
}

/// Steps until nothing is left; returns what made a request fail.
fn compute(
    engine: &mut Engine,
    id: u64,
    start: u64,
    progress: &mut [Progress],
    channel: &mut Channel,
) -> Result<Option<EngineError>, EngineError> {
    let mut told = start;
    let mut since = Step { id, at_ns: start, prefill_tokens: 0, decode_tokens: 0, running: 0 };
    while !engine.scheduler().is_idle() {
        let step = engine.step()?;
        let now = monotonic_ns();
        since.prefill_tokens += count(step.prefill_tokens);
        since.decode_tokens += count(step.outputs.len());
        for output in step.outputs {
            if let Err(error) = note(
                &mut progress[usize::try_from(output.id).expect("numbered above")],
                output,
                now,
            ) {
                return Ok(Some(error));
            }
        }
        if now - told >= STEP_INTERVAL_NS || engine.scheduler().is_idle() {
            let running = u32::try_from(step.running).unwrap_or(u32::MAX);
            channel.send(&Event::Step(Step { at_ns: now, running, ..since }))?;
            since = Step { id, at_ns: now, prefill_tokens: 0, decode_tokens: 0, running: 0 };
            told = now;
        }
    }
    Ok(None)
}

fn note(progress: &mut Progress, output: Output, now: u64) -> Result<(), EngineError> {
    let token = output.token?;
    progress.tokens.push(token.id);
    progress.times.output_tokens += 1;
    progress.times.first_token_ns.get_or_insert(now);
    progress.times.last_token_ns = Some(now);
    if let Some(finish) = token.finish {
        progress.times.finish = finish;
    }
    Ok(())
}

fn finished(progress: &Progress, with_text: bool, facts: &Facts) -> RequestTimes {
    let decode = |tokenizer: &crate::tokenizer::TextTokenizer| tokenizer.decode(&progress.tokens);
    let text = with_text.then(|| facts.tokenizer.as_deref().map_or_else(|_| String::new(), decode));
    RequestTimes { text, ..progress.times.clone() }
}
