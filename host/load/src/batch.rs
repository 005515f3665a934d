//! The host's side of the worker protocol `llem-batch/1`, over any reader and writer.
//!
//! Starts no worker and ends none: it only talks to one. A silent, dead, confused or failing worker
//! gives four different errors.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use llem_batch::{
    CodecError, Event, FinishReason, Generate, Load, Loaded, MAX_LINE_BYTES, RequestTimes, Step,
    WorkerError,
};
use llem_core::{
    latency::{EngineStep, Request, RequestLog, Status},
    sse::{CountedBy, Finish},
};

/// A conversation with one worker.
pub struct BatchSession {
    writer: Box<dyn Write + Send>,
    events: Receiver<Result<Event, BatchError>>,
}

/// How often a silent worker is waited for before it is asked whether to go on waiting.
const LOOK: Duration = Duration::from_millis(100);

/// How long a worker is waited for: until a time, or until the caller no longer wants its answer.
#[derive(Clone, Copy)]
pub struct Patience<'a> {
    /// When the answer is overdue.
    pub deadline: Instant,
    /// Asked a few times a second; ends the waiting once it is true.
    pub is_over: &'a dyn Fn() -> bool,
}

impl Patience<'_> {
    /// Waits until a time, whatever happens.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, is_over: &|| false }
    }
}

/// What a batch gave.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchRun {
    /// When the worker began, nanoseconds.
    pub begin_ns: u64,
    /// When it had ended, nanoseconds.
    pub end_ns: u64,
    /// Its requests, in the order of the prompts.
    pub log: RequestLog,
    /// The generated texts, where they were asked for.
    pub texts: Vec<Option<String>>,
}

/// Why a worker gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Its output ended, which mostly means that it died.
    #[error("the worker ended before it answered")]
    WorkerEnded,
    /// Its pipe broke.
    #[error("the pipe to the worker broke")]
    Pipe(#[source] io::Error),
    /// It reported a failure.
    #[error("the worker reported `{}`: {}", .0.kind, .0.message)]
    Worker(WorkerError),
    /// It wrote what is no message.
    #[error("the worker does not keep to the protocol")]
    Protocol(#[from] CodecError),
    /// It wrote a message that does not belong here.
    #[error("the worker sent `{found}` where {expected} was due")]
    Unexpected {
        /// The message's name.
        found: &'static str,
        /// What would have been right.
        expected: &'static str,
    },
    /// It gave another number of requests than it had prompts.
    #[error("the worker reported {found} requests for {expected} prompts")]
    RequestCount {
        /// Reported.
        found: usize,
        /// Asked for.
        expected: usize,
    },
    /// It said nothing until the deadline.
    #[error("the worker did not answer in time")]
    Timeout,
    /// The caller no longer wanted its answer.
    #[error("the worker was not waited for")]
    GivenUp,
}

impl BatchSession {
    /// Begins a conversation: `writer` is the worker's standard input, `reader` its standard output. A thread reads
    /// until the output ends.
    pub fn new(
        writer: impl Write + Send + 'static,
        reader: impl Read + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, events) = mpsc::channel();
        thread::Builder::new().name("llem-batch".to_owned()).spawn(move || {
            let mut reader = BufReader::with_capacity(64 * 1024, reader);
            loop {
                let event = read_event(&mut reader);
                let is_last = event.is_err();
                if sender.send(event).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { writer: Box::new(writer), events })
    }

    /// Loads a model.
    pub fn load(&mut self, load: Load, patience: Patience<'_>) -> Result<Loaded, BatchError> {
        self.send(&llem_batch::Request::Load(load))?;
        match self.receive(patience)? {
            Event::Loaded(loaded) => Ok(loaded),
            other => Err(unexpected(&other, "`loaded`")),
        }
    }

    /// Runs one batch. `on_step` is called for each step that the worker reports.
    pub fn generate(
        &mut self,
        generate: Generate,
        patience: Patience<'_>,
        mut on_step: impl FnMut(&Step),
    ) -> Result<BatchRun, BatchError> {
        let (id, prompts) = (generate.id, prompt_count(&generate));
        self.send(&llem_batch::Request::Generate(generate))?;
        let begin_ns = match self.receive(patience)? {
            Event::Begin { id: of, at_ns } if of == id => at_ns,
            other => return Err(unexpected(&other, "`begin` of this batch")),
        };
        let mut steps: Vec<EngineStep> = Vec::new();
        loop {
            match self.receive(patience)? {
                Event::Step(step) if step.id == id => {
                    on_step(&step);
                    let begin_ns = steps.last().map_or(begin_ns, |it| it.end_ns);
                    steps.push(EngineStep {
                        begin_ns,
                        end_ns: step.at_ns.max(begin_ns),
                        prefill_tokens: step.prefill_tokens,
                        decode_tokens: step.decode_tokens,
                        running: step.running,
                    });
                }
                Event::End { id: of, at_ns, requests } if of == id => {
                    if requests.len() != prompts {
                        return Err(BatchError::RequestCount {
                            found: requests.len(),
                            expected: prompts,
                        });
                    }
                    return Ok(batch_run(begin_ns, at_ns, steps, requests));
                }
                other => return Err(unexpected(&other, "`step` or `end` of this batch")),
            }
        }
    }

    /// Asks the worker to end and waits for its word.
    pub fn quit(mut self, deadline: Instant) -> Result<(), BatchError> {
        self.send(&llem_batch::Request::Quit)?;
        match self.receive(Patience::until(deadline))? {
            Event::Bye => Ok(()),
            other => Err(unexpected(&other, "`bye`")),
        }
    }

    fn send(&mut self, request: &llem_batch::Request) -> Result<(), BatchError> {
        let line = llem_batch::encode(request);
        if line.len() > MAX_LINE_BYTES {
            return Err(CodecError::TooLong { found: line.len() }.into());
        }
        let sent = self.writer.write_all(line.as_bytes()).and_then(|()| self.writer.flush());
        sent.map_err(|error| self.last_words().unwrap_or(BatchError::Pipe(error)))
    }

    /// What a worker that takes nothing any more had said: the reason is worth more than the broken pipe.
    fn last_words(&self) -> Option<BatchError> {
        self.events.try_iter().find_map(|event| match event {
            Ok(Event::Error(error)) => Some(BatchError::Worker(error)),
            Ok(_) => None,
            Err(error) => Some(error),
        })
    }

    fn receive(&mut self, patience: Patience<'_>) -> Result<Event, BatchError> {
        // A worker that reports step after step is no more waited for than a silent one.
        while !(patience.is_over)() {
            let left = patience.deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left.min(LOOK)) {
                Ok(Ok(Event::Error(error))) => return Err(BatchError::Worker(error)),
                Ok(event) => return event,
                Err(RecvTimeoutError::Disconnected) => return Err(BatchError::WorkerEnded),
                Err(RecvTimeoutError::Timeout) if left <= LOOK => return Err(BatchError::Timeout),
                Err(RecvTimeoutError::Timeout) => (),
            }
        }
        Err(BatchError::GivenUp)
    }
}

fn read_event(reader: &mut impl BufRead) -> Result<Event, BatchError> {
    let mut line = Vec::new();
    let most = u64::try_from(MAX_LINE_BYTES).expect("the limit fits 64 bits") + 1;
    let read = reader.by_ref().take(most).read_until(b'\n', &mut line).map_err(BatchError::Pipe)?;
    if read == 0 {
        return Err(BatchError::WorkerEnded);
    }
    if read > MAX_LINE_BYTES {
        return Err(CodecError::TooLong { found: read }.into());
    }
    Ok(llem_batch::decode(&String::from_utf8_lossy(&line))?)
}

fn prompt_count(generate: &Generate) -> usize {
    match &generate.prompts {
        llem_batch::Prompts::Tokens(prompts) => prompts.len(),
        llem_batch::Prompts::Texts(texts) => texts.len(),
    }
}

fn unexpected(event: &Event, expected: &'static str) -> BatchError {
    let found = match event {
        Event::Loaded(_) => "loaded",
        Event::Begin { .. } => "begin",
        Event::Step(_) => "step",
        Event::End { .. } => "end",
        Event::Bye => "bye",
        Event::Error(_) => "error",
    };
    BatchError::Unexpected { found, expected }
}

fn batch_run(
    begin_ns: u64,
    end_ns: u64,
    steps: Vec<EngineStep>,
    mut requests: Vec<RequestTimes>,
) -> BatchRun {
    let texts = requests.iter_mut().map(|request| request.text.take()).collect();
    let entries = (0..).zip(requests).map(|(index, times)| entry(index, &times, end_ns)).collect();
    let log = RequestLog {
        started_ns: begin_ns,
        ended_ns: end_ns,
        requests: entries,
        steps,
        ..RequestLog::default()
    };
    BatchRun { begin_ns, end_ns, log, texts }
}

/// A worker tells when a request's first and last tokens came, not when those between them did.
fn entry(index: u64, times: &RequestTimes, end_ns: u64) -> Request {
    let (status, finish) = match times.finish {
        FinishReason::Length => (Status::Completed, Some(Finish::Length)),
        FinishReason::Stop => (Status::Completed, Some(Finish::Stop)),
        FinishReason::Error => (Status::EngineError, None),
    };
    Request {
        dispatched_ns: Some(times.scheduled_ns),
        first_token_ns: times.first_token_ns,
        last_token_ns: times.last_token_ns,
        end_ns: times.last_token_ns.unwrap_or(end_ns),
        input_tokens: Some(times.input_tokens),
        output_tokens: Some(times.output_tokens),
        counted_by: Some(CountedBy::Usage),
        status,
        finish,
        ..Request::scheduled(index, times.scheduled_ns)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use llem_batch::Prompts;

    use super::*;

    const LOADED: &str = r#"{"ev":"loaded","engine":"e","version":"1","at_ns":1}"#;

    fn session(lines: &str) -> BatchSession {
        BatchSession::new(io::sink(), io::Cursor::new(lines.to_owned().into_bytes())).unwrap()
    }

    fn soon() -> Patience<'static> {
        Patience::until(Instant::now() + Duration::from_secs(5))
    }

    fn load() -> Load {
        Load { model: "m".into(), settings: serde_json::Map::new(), seed: 1 }
    }

    fn generate() -> Generate {
        Generate {
            id: 7,
            prompts: Prompts::Tokens(vec![vec![1, 2]]),
            max_tokens: 3,
            exact: true,
            settings: serde_json::Map::new(),
            return_text: false,
        }
    }

    #[test]
    fn a_batch_gives_a_log_like_that_of_a_server() {
        let lines = r#"{"ev":"begin","id":7,"at_ns":10}
{"ev":"step","id":7,"at_ns":20,"prefill_tokens":2,"decode_tokens":1,"running":1}
{"ev":"end","id":7,"at_ns":50,"requests":[{"input_tokens":2,"output_tokens":3,"scheduled_ns":10,"first_token_ns":20,"last_token_ns":40,"finish":"length"}]}
{"ev":"bye"}
"#;
        let mut session = session(lines);
        let mut steps = 0;
        let run = session.generate(generate(), soon(), |step| steps += step.decode_tokens).unwrap();
        assert_eq!((run.begin_ns, run.end_ns, steps), (10, 50, 1));
        let step = EngineStep {
            begin_ns: 10,
            end_ns: 20,
            prefill_tokens: 2,
            decode_tokens: 1,
            running: 1,
        };
        assert_eq!(run.log.steps, [step]);
        let request = &run.log.requests[0];
        assert_eq!(
            (request.output_tokens, request.first_token_ns, request.end_ns),
            (Some(3), Some(20), 40)
        );
        assert!(request.is_completed() && request.tokens.is_empty());
        session.quit(soon().deadline).unwrap();
    }

    #[test]
    fn failures_of_a_worker_are_told_apart() {
        for (lines, expected) in [
            ("", "the worker ended before it answered"),
            ("{\"ev\":\"loaded\"", "the worker does not keep to the protocol"),
            ("Loading weights\n", "the worker does not keep to the protocol"),
            ("{\"ev\":\"bye\"}\n", "the worker sent `bye` where `loaded` was due"),
            (
                "{\"ev\":\"error\",\"kind\":\"out-of-memory\",\"message\":\"24 GiB\",\"fatal\":true}\n",
                "the worker reported `out-of-memory`: 24 GiB",
            ),
        ] {
            assert_eq!(session(lines).load(load(), soon()).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn a_silent_worker_ends_at_the_deadline() {
        let (reader, _writer) = io::pipe().unwrap();
        let mut session = BatchSession::new(io::sink(), reader).unwrap();
        let patience = Patience::until(Instant::now() + Duration::from_millis(10));
        let error = session.load(load(), patience).unwrap_err();
        assert!(matches!(error, BatchError::Timeout), "{error}");
    }

    #[test]
    fn a_worker_is_given_up_whether_it_is_silent_or_not() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut session = BatchSession::new(io::sink(), reader).unwrap();
        let step =
            r#"{"ev":"step","id":7,"at_ns":2,"prefill_tokens":0,"decode_tokens":1,"running":1}"#;
        writeln!(writer, "{{\"ev\":\"begin\",\"id\":7,\"at_ns\":1}}\n{step}\n{step}").unwrap();
        let steps = Cell::new(0);
        let patience = Patience { is_over: &|| steps.get() == 1, ..soon() };
        let error = session.generate(generate(), patience, |_| steps.set(steps.get() + 1));
        assert!(matches!(error, Err(BatchError::GivenUp)), "{error:?}");
        let patience = Patience { is_over: &|| true, ..soon() };
        assert!(matches!(session.load(load(), patience), Err(BatchError::GivenUp)));
    }

    #[test]
    fn a_worker_must_report_every_request_of_its_own_batch() {
        let few = "{\"ev\":\"begin\",\"id\":7,\"at_ns\":1}\n{\"ev\":\"end\",\"id\":7,\"at_ns\":2,\"requests\":[]}\n";
        let error = session(few).generate(generate(), soon(), |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "the worker reported 0 requests for 1 prompts");
        let other = "{\"ev\":\"begin\",\"id\":8,\"at_ns\":1}\n";
        let error = session(other).generate(generate(), soon(), |_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the worker sent `begin` where `begin` of this batch was due"
        );
    }

    #[test]
    fn the_reason_is_told_when_the_pipe_is_broken() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let line =
            "{\"ev\":\"error\",\"kind\":\"crash\",\"message\":\"no driver\",\"fatal\":true}\n";
        let mut session = BatchSession::new(writer, io::Cursor::new(line)).unwrap();
        let error = session.load(load(), soon()).unwrap_err();
        assert!(matches!(error, BatchError::Worker(_) | BatchError::Pipe(_)), "{error}");
    }

    #[test]
    fn loading_tells_what_the_engine_is() {
        let loaded = session(&format!("{LOADED}\n")).load(load(), soon()).unwrap();
        assert_eq!((loaded.engine.as_str(), loaded.memory_bytes), ("e", None));
    }
}
