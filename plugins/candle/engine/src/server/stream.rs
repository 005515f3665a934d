//! Streamed responses: server-sent events, one for each token. The engine's pace is the stream's pace.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::{StreamExt, once, wrappers::UnboundedReceiverStream};

use super::{
    answer::{Choice, Header},
    driver::Update,
    failure::Failure,
    request::Endpoint,
};

/// Answers with a stream of the updates. Dropping the response drops the receiver, which cancels the request.
pub(crate) fn respond(
    header: Header,
    mut choices: Vec<Choice>,
    updates: UnboundedReceiver<Update>,
) -> Response {
    let mut opening = Vec::new();
    if header.form.endpoint == Endpoint::Chat {
        for choice in &choices {
            event(&mut opening, &header.opening(choice));
        }
    }
    let events = UnboundedReceiverStream::new(updates).map(move |update| {
        let mut bytes = Vec::new();
        write(&mut bytes, update, &header, &mut choices);
        Ok::<_, Infallible>(Bytes::from(bytes))
    });
    let opening = once(Ok(Bytes::from(opening)))
        .filter(|bytes| bytes.as_ref().is_ok_and(|bytes| !bytes.is_empty()));
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(opening.chain(events))).into_response()
}

fn write(bytes: &mut Vec<u8>, update: Update, header: &Header, choices: &mut [Choice]) {
    match update {
        Update::Token { choice, token } => {
            let choice = &mut choices[choice];
            let piece = choice.push(token);
            event(bytes, &header.chunk(choice, &piece));
        }
        Update::Failed(error) => {
            event(bytes, &Failure::from(error).body());
            return;
        }
    }
    if choices.iter().all(|choice| choice.finish.is_some()) {
        if header.form.stream.is_some_and(|stream| stream.include_usage) {
            event(bytes, &header.closing(choices));
        }
        bytes.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn event(bytes: &mut Vec<u8>, body: &Value) {
    bytes.extend_from_slice(b"data: ");
    bytes.extend_from_slice(body.to_string().as_bytes());
    bytes.extend_from_slice(b"\n\n");
}
