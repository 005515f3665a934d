//! The batch worker: the protocol on stdin and stdout, one batch at a time. Serves no network.

mod batch;
mod channel;

use std::path::PathBuf;

use llem_batch::{Event, Load, Loaded, Request};

use self::channel::Channel;
use crate::{
    cli,
    clock::monotonic_ns,
    engine::{Engine, Facts},
    error::EngineError,
    loading,
};

/// Serves batches until the host says `quit` or closes stdin.
pub(crate) fn run(flags: &cli::Batch) -> Result<(), EngineError> {
    let mut channel = Channel::open()?;
    let outcome = serve(flags, &mut channel);
    if let Err(error) = &outcome {
        // If the host is gone, the exit code still tells.
        drop(channel.send_error(error, true));
    }
    outcome
}

fn serve(flags: &cli::Batch, channel: &mut Channel) -> Result<(), EngineError> {
    let mut loaded: Option<(Engine, Facts)> = None;
    while let Some(request) = channel.receive()? {
        match request {
            Request::Load(load) => {
                // The old model makes room before the new one comes.
                drop(loaded.take());
                let (engine, facts) = load_model(flags, &load)?;
                channel.send(&Event::Loaded(announce(flags, &load, &facts)))?;
                loaded = Some((engine, facts));
            }
            Request::Generate(generate) => {
                let Some((engine, facts)) = &mut loaded else {
                    return Err(EngineError::Protocol {
                        reason: "`generate` came before `load`".to_owned(),
                    });
                };
                match batch::prepare(&generate, facts) {
                    Ok(requests) => batch::run(engine, facts, &generate, requests, channel)?,
                    Err(error) => channel.send_error(&error, false)?,
                }
            }
            Request::Quit => {
                channel.send(&Event::Bye)?;
                return Ok(());
            }
        }
    }
    Ok(())
}

fn load_model(flags: &cli::Batch, load: &Load) -> Result<(Engine, Facts), EngineError> {
    let mut settings = flags.load.settings();
    let mut changes = load.settings.clone();
    let random = match changes.shift_remove("random_weights") {
        None | Some(serde_json::Value::Null) => flags.load.random_weights,
        Some(serde_json::Value::Bool(random)) => random,
        Some(other) => {
            let reason = format!("found `{other}`, true or false is allowed");
            return Err(EngineError::bad_parameter("random_weights", reason));
        }
    };
    settings.apply(&changes)?;
    Engine::load(&model_path(flags, load)?, random, load.seed, &settings)
}

fn model_path(flags: &cli::Batch, load: &Load) -> Result<PathBuf, EngineError> {
    match (&flags.model, load.model.as_str()) {
        (Some(path), "") => Ok(path.clone()),
        (None, "") => {
            Err(EngineError::bad_parameter("model", "neither `load` nor `--model` names one"))
        }
        (_, path) => Ok(PathBuf::from(path)),
    }
}

fn announce(flags: &cli::Batch, load: &Load, facts: &Facts) -> Loaded {
    let mut effective = facts.effective.clone();
    let path = flags
        .model
        .as_ref()
        .filter(|_| load.model.is_empty())
        .cloned()
        .unwrap_or_else(|| load.model.clone().into());
    let name = flags.served_model_name.clone().unwrap_or_else(|| loading::default_name(&path));
    effective.insert("model".to_owned(), name.into());
    Loaded {
        engine: "candle".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        effective,
        memory_bytes: Some(facts.memory_bytes),
        at_ns: monotonic_ns(),
    }
}
