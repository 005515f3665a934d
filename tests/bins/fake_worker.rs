//! A worker of `llem-batch/1` that generates nothing: it takes the time that its prompts and settings stand for and states exactly
//! that, so that a trial's figures depend on its prompts and settings alone.
//!
//! `fake-worker [--fail-while FILE] [--crash-once FILE --crash-at N] [--endless]`: no start while a file exists; an end
//! without a word at the nth batch of a worker, once; batches that never end.

use std::{
    fs,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use llem_batch::{Event, FinishReason, Generate, Loaded, Prompts, Request, RequestTimes, Step};
use llem_meter::now_ns;

#[derive(Debug, Default)]
struct Behaviour {
    fail_while: Option<PathBuf>,
    crash_once: Option<PathBuf>,
    crash_at: u64,
    endless: bool,
}

fn behaviour() -> Behaviour {
    let mut behaviour = Behaviour::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--fail-while" => behaviour.fail_while = arguments.next().map(PathBuf::from),
            "--crash-once" => behaviour.crash_once = arguments.next().map(PathBuf::from),
            "--crash-at" => {
                behaviour.crash_at = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(0);
            }
            "--endless" => behaviour.endless = true,
            // What a real interpreter would be given.
            _ => (),
        }
    }
    behaviour
}

fn main() -> ExitCode {
    let behaviour = behaviour();
    if behaviour.fail_while.as_deref().is_some_and(Path::exists) {
        drop(writeln!(io::stderr(), "the fake worker was told to fail"));
        return ExitCode::FAILURE;
    }
    match serve(&behaviour) {
        Ok(code) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(behaviour: &Behaviour) -> io::Result<ExitCode> {
    let (mut batches, mut settings) = (0, String::new());
    for line in io::stdin().lock().lines() {
        match llem_batch::decode(&line?).map_err(io::Error::other)? {
            Request::Load(load) => {
                settings = serde_json::Value::Object(load.settings).to_string();
                say(&Event::Loaded(Loaded {
                    engine: "fake".to_owned(),
                    version: "1".to_owned(),
                    effective: serde_json::Map::new(),
                    memory_bytes: None,
                    at_ns: now_ns(),
                }))?;
            }
            Request::Generate(generate) => {
                batches += 1;
                if let Some(file) = &behaviour.crash_once
                    && batches == behaviour.crash_at
                    && !file.exists()
                {
                    fs::write(file, "")?;
                    return Ok(ExitCode::from(7));
                }
                run(&generate, &settings, behaviour.endless)?;
            }
            Request::Quit => {
                say(&Event::Bye)?;
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn run(generate: &Generate, settings: &str, endless: bool) -> io::Result<()> {
    let id = generate.id;
    let begin = now_ns();
    say(&Event::Begin { id, at_ns: begin })?;
    if endless {
        loop {
            thread::sleep(Duration::from_millis(50));
            let at_ns = now_ns();
            say(&Event::Step(Step { id, at_ns, prefill_tokens: 0, decode_tokens: 1, running: 1 }))?;
        }
    }
    let length = length(generate, settings);
    thread::sleep(length);
    let end = begin + u64::try_from(length.as_nanos()).expect("a batch takes milliseconds");
    let times = |input_tokens: usize| RequestTimes {
        input_tokens: u64::try_from(input_tokens).expect("prompts are short"),
        output_tokens: generate.max_tokens.into(),
        scheduled_ns: begin,
        first_token_ns: Some(begin.midpoint(end)),
        last_token_ns: Some(end),
        finish: FinishReason::Length,
        text: None,
    };
    let requests = match &generate.prompts {
        Prompts::Tokens(prompts) => prompts.iter().map(|it| times(it.len())).collect(),
        Prompts::Texts(texts) => texts.iter().map(|it| times(it.len())).collect(),
    };
    say(&Event::End { id, at_ns: end, requests })
}

/// From 40 to 60 ms, as prompts and settings have it.
fn length(generate: &Generate, settings: &str) -> Duration {
    let prompts = serde_json::to_string(&generate.prompts).expect("prompts have string keys");
    let hash = blake3::hash(format!("{prompts}{settings}").as_bytes());
    let word = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("eight bytes"));
    Duration::from_micros(40_000 + word % 20_000)
}

fn say(event: &Event) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(llem_batch::encode(event).as_bytes())?;
    out.flush()
}
