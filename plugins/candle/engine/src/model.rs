//! The model: shape, layers and forward pass over ragged batches. Reads no files and draws no tokens.

pub(crate) mod attention;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod linear;
pub(crate) mod llama;
mod norm;
pub(crate) mod rope;
