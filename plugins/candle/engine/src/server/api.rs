//! The two endpoints that generate. Their requests and bodies are read and written elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{
    Shared,
    answer::{Choice, Header},
    driver::Update,
    failure::Failure,
    request::{self, Endpoint},
    routes, stream,
};
use crate::tokenizer::TextStream;

/// Numbers the requests of this process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Answers `/v1/completions`.
pub(crate) async fn completions(
    shared: State<Arc<Shared>>,
    body: Bytes,
) -> Result<Response, Failure> {
    generate(Endpoint::Completions, &shared, &body).await
}

/// Answers `/v1/chat/completions`.
pub(crate) async fn chat(shared: State<Arc<Shared>>, body: Bytes) -> Result<Response, Failure> {
    generate(Endpoint::Chat, &shared, &body).await
}

async fn generate(endpoint: Endpoint, shared: &Shared, body: &[u8]) -> Result<Response, Failure> {
    let ready = routes::ready(shared)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let parsed = request::parse(endpoint, body, shared, &ready.facts, number)?;
    let prefix = if endpoint == Endpoint::Chat { "chatcmpl" } else { "cmpl" };
    let header = Header {
        id: format!("{prefix}-{:x}-{number}", shared.created),
        created: routes::now(),
        model: shared.name.clone(),
        form: parsed.form,
    };
    let tokenizer = ready.facts.tokenizer.as_ref().ok();
    let (sender, updates) = unbounded_channel();
    let mut choices = Vec::new();
    for (index, request) in parsed.requests.into_iter().enumerate() {
        choices.push(Choice::new(index, request.prompt.len(), TextStream::new(tokenizer.cloned())));
        ready.driver.submit(request, index, sender.clone());
    }
    drop(sender);
    if header.form.stream.is_some() {
        Ok(stream::respond(header, choices, updates))
    } else {
        whole(header, choices, updates).await
    }
}

async fn whole(
    header: Header,
    mut choices: Vec<Choice>,
    mut updates: UnboundedReceiver<Update>,
) -> Result<Response, Failure> {
    while let Some(update) = updates.recv().await {
        match update {
            Update::Token { choice, token } => {
                let choice = &mut choices[choice];
                let piece = choice.push(token);
                choice.text.push_str(&piece);
            }
            Update::Failed(error) => return Err(error.into()),
        }
    }
    if choices.iter().any(|choice| choice.finish.is_none()) {
        return Err(Failure::unavailable("the engine ended before the request did"));
    }
    Ok(Json(header.whole(&choices)).into_response())
}
