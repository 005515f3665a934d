//! Carries out the trials of a study: one at a time, each from start to clean stop, each recorded
//! before the next begins. Emits events and formats nothing.

mod agenda;
mod cancel;
mod client;
mod dispatcher;
mod drive;
mod engine;
mod failure;
mod left;
mod observe;
mod offline;
mod prepare;
mod repeats;
mod rest;
mod search;
mod server;
mod shared;
mod trial;
mod warmup;

pub(crate) use cancel::Cancel;
pub(crate) use dispatcher::{Finished, finished_event, run};
pub(crate) use failure::Fault;
pub(crate) use repeats::Progress;
pub(crate) use trial::{Bench, Environment, Trial};
