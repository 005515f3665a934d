//! One step after the other: from the scheduler's plan through the model to the next tokens.
//!
//! It owns the model and the sequences and runs where its caller runs it; it starts no thread and speaks no
//! protocol.

use std::{path::Path, sync::Arc};

use llem_batch::FinishReason;
use rayon::ThreadPool;
use serde_json::{Map, Value};

use crate::{
    arithmetic::{count, index},
    chat::ChatTemplate,
    error::EngineError,
    loading::{self, LoadedModel},
    memory,
    model::{
        cache::{self, KvCache},
        llama::{Llama, Span},
    },
    sampling::{Sampler, Sampling},
    scheduler::{Limits, Scheduler, Sequence},
    settings::{Precision, Settings},
    threads,
    tokenizer::TextTokenizer,
};

/// A request for tokens.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The prompt.
    pub(crate) prompt: Vec<u32>,
    /// Output tokens to make at most.
    pub(crate) max_tokens: usize,
    /// Output tokens before an end token may come.
    pub(crate) min_tokens: usize,
    /// End tokens are like any others.
    pub(crate) ignore_end: bool,
    /// How tokens are chosen.
    pub(crate) sampling: Sampling,
    /// Seed of the choice.
    pub(crate) seed: u64,
}

/// What a step made for a sequence.
#[derive(Debug)]
pub(crate) struct Output {
    /// The sequence.
    pub(crate) id: u64,
    /// Its next token, or why it failed.
    pub(crate) token: Result<Token, EngineError>,
}

/// A token that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The token.
    pub(crate) id: u32,
    /// Why it is the last one, if it is.
    pub(crate) finish: Option<FinishReason>,
}

/// What a step did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// The tokens it made and the sequences that failed.
    pub(crate) outputs: Vec<Output>,
    /// Prompt tokens it processed.
    pub(crate) prefill_tokens: usize,
    /// Sequences it worked on.
    pub(crate) running: usize,
}

/// What is fixed once a model is loaded, for those who talk to the outside.
pub(crate) struct Facts {
    /// Its tokenizer, or why there is none.
    pub(crate) tokenizer: Result<Arc<TextTokenizer>, String>,
    /// Its chat template, or why there is none.
    pub(crate) chat: Result<ChatTemplate, String>,
    /// Longest sequence.
    pub(crate) context_length: usize,
    /// Tokens in the vocabulary.
    pub(crate) vocabulary: usize,
    /// The settings that are really used.
    pub(crate) effective: Map<String, Value>,
    /// Bytes that the weights take.
    pub(crate) memory_bytes: u64,
    /// Seed of requests without one.
    pub(crate) seed: u64,
}

impl Facts {
    /// Refuses a request that can't run.
    pub(crate) fn check(&self, request: &Request) -> Result<(), EngineError> {
        if request.prompt.is_empty() {
            return Err(EngineError::bad_parameter(
                "prompt",
                "it has no tokens, at least one is needed",
            ));
        }
        if let Some(token) = request.prompt.iter().find(|token| index(**token) >= self.vocabulary) {
            let reason = format!("found token {token}, the vocabulary ends at {}", self.vocabulary);
            return Err(EngineError::bad_parameter("prompt", reason));
        }
        if request.prompt.len() >= self.context_length {
            let (found, most) = (request.prompt.len(), self.context_length);
            let reason = format!(
                "it has {found} tokens, which leave no room in the context length of {most}"
            );
            return Err(EngineError::bad_parameter("prompt", reason));
        }
        if request.max_tokens == 0 {
            return Err(EngineError::bad_parameter("max_tokens", "found 0, at least 1 is needed"));
        }
        if request.prompt.len().saturating_add(request.max_tokens) > self.context_length {
            let reason = format!(
                "{} prompt tokens and {} output tokens exceed the context length of {}",
                request.prompt.len(),
                request.max_tokens,
                self.context_length
            );
            return Err(EngineError::bad_parameter("max_tokens", reason));
        }
        Ok(())
    }

    /// Turns a text into tokens.
    pub(crate) fn encode(&self, text: &str, with_special: bool) -> Result<Vec<u32>, EngineError> {
        let refused = |reason: &str| EngineError::bad_parameter("prompt", reason);
        let tokenizer = self.tokenizer.as_ref().map_err(|reason| {
            refused(&format!("a text needs a tokenizer, and {reason}; pass token ids instead"))
        })?;
        tokenizer.encode(text, with_special).map_err(|reason| refused(&reason))
    }
}

/// A loaded model and its sequences.
pub(crate) struct Engine {
    llama: Llama,
    scheduler: Scheduler,
    pool: Arc<ThreadPool>,
    cache_precision: Precision,
}

impl Engine {
    /// Loads a model.
    pub(crate) fn load(
        path: &Path,
        random_weights: bool,
        seed: u64,
        settings: &Settings,
    ) -> Result<(Self, Facts), EngineError> {
        settings.check()?;
        let pool = Arc::new(threads::pool(settings.threads)?);
        let request = loading::Request { path, random_weights, seed, settings };
        let LoadedModel { llama, tokenizer, chat, context_length } =
            pool.install(|| loading::load(&request))?;
        let cache_precision = settings.kv_cache_dtype.resolve(settings.dtype);
        let mut effective = settings.effective(context_length);
        effective.insert("architecture".to_owned(), llama.config.architecture.clone().into());
        effective.insert("random_weights".to_owned(), random_weights.into());
        effective.insert("seed".to_owned(), seed.into());
        let facts = Facts {
            tokenizer,
            chat,
            context_length,
            vocabulary: llama.config.vocabulary,
            effective,
            memory_bytes: llama.bytes(),
            seed,
        };
        let limits = Limits {
            batch: settings.max_batch_size.get(),
            chunk: settings.prefill_chunk.get(),
            positions: position_budget(
                &llama,
                cache_precision,
                settings.max_batch_size.get(),
                context_length,
            )?,
        };
        Ok((Self { llama, scheduler: Scheduler::new(limits), pool, cache_precision }, facts))
    }

    /// Takes a request that [`Facts::check`] let through.
    pub(crate) fn submit(&mut self, id: u64, request: Request) -> Result<(), EngineError> {
        let sequence = Sequence {
            id,
            prompt: request.prompt.len(),
            tokens: request.prompt,
            processed: 0,
            max_tokens: request.max_tokens,
            min_tokens: request.min_tokens,
            ignore_end: request.ignore_end,
            sampler: Sampler::new(request.sampling, request.seed),
            cache: None,
        };
        self.scheduler.submit(sequence, cache::bytes(&self.llama.config, self.cache_precision, 1))
    }

    /// Forgets a sequence; says whether it was there.
    pub(crate) fn cancel(&mut self, id: u64) -> bool {
        self.scheduler.remove(id)
    }

    /// Forgets all sequences.
    pub(crate) fn clear(&mut self) {
        while let Some(id) = self.scheduler.any() {
            self.scheduler.remove(id);
        }
    }

    /// Returns the sequences and their queue, for those who count.
    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Computes one step.
    pub(crate) fn step(&mut self) -> Result<Step, EngineError> {
        let pool = self.pool.clone();
        pool.install(|| self.step_inside())
    }

    fn step_inside(&mut self) -> Result<Step, EngineError> {
        self.scheduler.admit();
        let mut step = Step::default();
        self.reserve_caches(&mut step);
        let plan = self.scheduler.plan();
        step.running = plan.iter().filter(|taken| **taken > 0).count();
        let mut spans = Vec::new();
        for (sequence, taken) in self.scheduler.running_mut().iter_mut().zip(&plan) {
            let (start, end) = (sequence.processed, sequence.processed + taken);
            if sequence.is_prefilling() {
                step.prefill_tokens += taken;
            }
            if *taken > 0 {
                spans.push(Span {
                    cache: sequence.cache.as_mut().expect("reserved above"),
                    position: start,
                    tokens: &sequence.tokens[start..end],
                    wants_scores: end == sequence.tokens.len(),
                });
            }
        }
        if spans.is_empty() {
            return Ok(step);
        }
        let mut scores = self.llama.forward(&mut spans)?;
        self.choose(&plan, &mut scores, &mut step);
        for output in &step.outputs {
            if !matches!(output.token, Ok(Token { finish: None, .. })) {
                self.scheduler.remove(output.id);
            }
        }
        Ok(step)
    }

    fn reserve_caches(&mut self, step: &mut Step) {
        for sequence in self.scheduler.running_mut() {
            if sequence.cache.is_none() {
                match KvCache::reserve(
                    &self.llama.config,
                    self.cache_precision,
                    sequence.positions(),
                ) {
                    Ok(cache) => sequence.cache = Some(cache),
                    Err(error) => step.outputs.push(Output { id: sequence.id, token: Err(error) }),
                }
            }
        }
        for failed in &step.outputs {
            self.scheduler.remove(failed.id);
        }
    }

    fn choose(&mut self, plan: &[usize], scores: &mut [f32], step: &mut Step) {
        let end_tokens = &self.llama.config.end_tokens;
        let mut rows = scores.chunks_exact_mut(self.llama.config.vocabulary);
        for (sequence, taken) in self.scheduler.running_mut().iter_mut().zip(plan) {
            sequence.processed += taken;
            if *taken == 0 || sequence.processed < sequence.tokens.len() {
                continue;
            }
            let row = rows.next().expect("every sequence at its end wanted scores");
            let early = sequence.generated() < sequence.min_tokens && !sequence.ignore_end;
            let banned: &[u32] = if early { end_tokens } else { &[] };
            let token = sequence.sampler.choose(row, &sequence.tokens, banned);
            sequence.tokens.push(token);
            let finish = sequence.finish(token, end_tokens);
            step.outputs.push(Output { id: sequence.id, token: Ok(Token { id: token, finish }) });
        }
    }
}

/// Returns the positions that all caches may reserve together: what the batch can use, bounded by memory.
fn position_budget(
    llama: &Llama,
    precision: Precision,
    batch: usize,
    context: usize,
) -> Result<usize, EngineError> {
    let usable = batch.saturating_mul(context);
    let Some(available) = memory::available() else { return Ok(usable) };
    let each = cache::bytes(&llama.config, precision, 1);
    // A tenth stays for activations and for others.
    let fitting = available / 10 * 9 / each;
    if fitting == 0 {
        return Err(EngineError::OutOfMemory {
            what: "the key-value cache for one position".to_owned(),
            needed: each,
            available,
        });
    }
    Ok(usable.min(usize::try_from(fitting).unwrap_or(usize::MAX)))
}

/// Counts what the running sequences keep in their caches, in positions.
pub(crate) fn cached_positions(scheduler: &Scheduler) -> u64 {
    scheduler.running().iter().map(|sequence| count(sequence.processed)).sum()
}
