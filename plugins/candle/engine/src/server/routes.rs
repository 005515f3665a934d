//! Paths of the server and the answers that need no computation.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{Ready, Shared, api, failure::Failure};

/// Longest request body, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// Returns the routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/server_info", get(server_info))
        .route("/v1/models", get(models))
        .route("/v1/completions", post(api::completions))
        .route("/v1/chat/completions", post(api::chat))
        .fallback(|| async { Failure::not_found("there is no such path") })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// Returns the model, or the refusal that holds until it is loaded.
pub(crate) fn ready(shared: &Shared) -> Result<&Ready, Failure> {
    shared.ready.get().ok_or_else(|| Failure::unavailable("the model is not loaded yet"))
}

/// Returns the seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

async fn health(State(shared): State<Arc<Shared>>) -> Result<StatusCode, Failure> {
    ready(&shared).map(|_| StatusCode::OK)
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.text())
}

async fn server_info(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Failure> {
    let facts = &ready(&shared)?.facts;
    Ok(Json(json!({
        "engine": "candle",
        "version": env!("CARGO_PKG_VERSION"),
        "model": shared.name,
        "effective": facts.effective,
        "memory_bytes": facts.memory_bytes,
    })))
}

async fn models(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, Failure> {
    let facts = &ready(&shared)?.facts;
    let model = json!({
        "id": shared.name,
        "object": "model",
        "created": shared.created,
        "owned_by": "llem-candle",
        "max_model_len": facts.context_length,
        "effective": facts.effective,
    });
    Ok(Json(json!({"object": "list", "data": [model]})))
}
