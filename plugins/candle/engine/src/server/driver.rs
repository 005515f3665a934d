//! The engine's thread: takes requests from the handlers, steps, and hands tokens back. Speaks no HTTP.

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
};

use llem_batch::FinishReason;
use tokio::sync::mpsc::UnboundedSender;

use super::metrics::Metrics;
use crate::{
    arithmetic::count,
    engine::{Engine, Output, Request, Step, Token},
    error::{EngineError, chain},
};

/// A token of one choice of a response, or the end of it all.
pub(crate) enum Update {
    /// The next token of a choice.
    Token {
        /// Which choice.
        choice: usize,
        /// The token.
        token: Token,
    },
    /// The request failed.
    Failed(EngineError),
}

/// A request and where its tokens go.
pub(crate) struct Submission {
    request: Request,
    choice: usize,
    updates: UnboundedSender<Update>,
}

/// The handlers' end of the engine's thread.
pub(crate) struct Driver {
    submissions: Sender<Submission>,
}

impl Driver {
    /// Makes both ends.
    pub(crate) fn new() -> (Self, Receiver<Submission>) {
        let (submissions, receiver) = channel();
        (Self { submissions }, receiver)
    }

    /// Hands a request over; its tokens come as updates of `choice`. Dropping the receiver cancels it.
    pub(crate) fn submit(&self, request: Request, choice: usize, updates: UnboundedSender<Update>) {
        // Where the thread has ended, the updates' sender is dropped with the submission, and the receiver ends.
        drop(self.submissions.send(Submission { request, choice, updates }));
    }
}

struct Consumer {
    choice: usize,
    updates: UnboundedSender<Update>,
}

/// Runs the engine until the handlers are gone or a computation fails.
pub(crate) fn run(
    mut engine: Engine,
    submissions: &Receiver<Submission>,
    metrics: &Metrics,
) -> Result<(), EngineError> {
    let mut consumers = BTreeMap::new();
    let mut next_id = 0;
    loop {
        if engine.scheduler().is_idle() {
            let Ok(submission) = submissions.recv() else { return Ok(()) };
            accept(&mut engine, &mut consumers, &mut next_id, submission, metrics);
        }
        loop {
            match submissions.try_recv() {
                Ok(submission) => {
                    accept(&mut engine, &mut consumers, &mut next_id, submission, metrics);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        cancel_abandoned(&mut engine, &mut consumers, metrics);
        let step = engine.step()?;
        deliver(step, &mut engine, &mut consumers, metrics);
        metrics.observe(engine.scheduler());
    }
}

fn accept(
    engine: &mut Engine,
    consumers: &mut BTreeMap<u64, Consumer>,
    next_id: &mut u64,
    submission: Submission,
    metrics: &Metrics,
) {
    let Submission { request, choice, updates } = submission;
    let id = *next_id;
    *next_id += 1;
    match engine.submit(id, request) {
        Ok(()) => {
            consumers.insert(id, Consumer { choice, updates });
        }
        Err(error) => {
            metrics.failed.add(1);
            // A handler that is gone needs no answer.
            drop(updates.send(Update::Failed(error)));
        }
    }
    metrics.observe(engine.scheduler());
}

fn cancel_abandoned(
    engine: &mut Engine,
    consumers: &mut BTreeMap<u64, Consumer>,
    metrics: &Metrics,
) {
    consumers.retain(|id, consumer| {
        let abandoned = consumer.updates.is_closed();
        if abandoned && engine.cancel(*id) {
            metrics.aborted.add(1);
        }
        !abandoned
    });
}

fn deliver(
    step: Step,
    engine: &mut Engine,
    consumers: &mut BTreeMap<u64, Consumer>,
    metrics: &Metrics,
) {
    metrics.prompt_tokens.add(count(step.prefill_tokens));
    for Output { id, token } in step.outputs {
        let last = !matches!(token, Ok(Token { finish: None, .. }));
        match &token {
            Ok(token) => {
                metrics.generation_tokens.add(1);
                match token.finish {
                    Some(FinishReason::Stop) => metrics.stopped.add(1),
                    Some(FinishReason::Length) => metrics.full_length.add(1),
                    Some(FinishReason::Error) | None => {}
                }
            }
            Err(error) => {
                metrics.failed.add(1);
                crate::error::log(&format!("request failed: {}", chain(error)));
            }
        }
        let Some(consumer) = consumers.get(&id) else { continue };
        let update = match token {
            Ok(token) => Update::Token { choice: consumer.choice, token },
            Err(error) => Update::Failed(error),
        };
        let gone = consumer.updates.send(update).is_err();
        if gone && !last && engine.cancel(id) {
            metrics.aborted.add(1);
        }
        if gone || last {
            consumers.remove(&id);
        }
    }
}
