//! Refusals in the form that clients of the API expect. Decides nothing about what is refused.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::error::{EngineError, chain};

/// A refusal: status, message and the parameter that it is about.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
    parameter: Option<String>,
}

impl Failure {
    /// The request has a mistake.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), parameter: None }
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into(), parameter: None }
    }

    /// Not now.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into(), parameter: None }
    }

    /// Returns the body.
    pub(crate) fn body(&self) -> Value {
        let kind = match self.status {
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => "invalid_request_error",
            StatusCode::SERVICE_UNAVAILABLE => "service_unavailable_error",
            _ => "server_error",
        };
        json!({"error": {"message": self.message, "type": kind, "param": self.parameter, "code": self.status.as_u16()}})
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let message = chain(&error);
        match error {
            EngineError::BadParameter { name, .. } => {
                Self { status: StatusCode::BAD_REQUEST, message, parameter: Some(name) }
            }
            EngineError::OutOfMemory { .. } => Self::unavailable(message),
            _ => Self { status: StatusCode::INTERNAL_SERVER_ERROR, message, parameter: None },
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(self.body())).into_response()
    }
}
