//! What the server really did.

use serde::{Deserialize, Serialize};

/// All requests that ended, in the order of their ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// One entry a request.
    pub served: Vec<Served>,
    /// The most connections open at once.
    pub most_connections: usize,
}

/// One request, in nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// When its last byte had come.
    pub arrived_ns: u64,
    /// When the first chunk with a token was handed to the system.
    pub first_token_ns: Option<u64>,
    /// When the last chunk with a token was handed to the system.
    pub last_token_ns: Option<u64>,
    /// Tokens sent.
    pub tokens: u64,
    /// The longest that a chunk was later than programmed.
    pub worst_lag_ns: u64,
    /// Whether the answer was sent in full.
    pub is_whole: bool,
}

impl Truth {
    /// Tokens of all requests.
    pub fn tokens(&self) -> u64 {
        self.served.iter().map(|served| served.tokens).sum()
    }

    /// A quantile (by nearest rank) of the true time from arrival to first token, nanoseconds; none without requests.
    pub fn first_token_after_ns(&self, per_mille: usize) -> Option<u64> {
        let after =
            |served: &Served| Some(served.first_token_ns?.saturating_sub(served.arrived_ns));
        rank(self.served.iter().filter_map(after).collect(), per_mille)
    }

    /// A quantile (by nearest rank) of the worst lag of each request, nanoseconds; none without requests.
    pub fn lag_ns(&self, per_mille: usize) -> Option<u64> {
        rank(self.served.iter().map(|served| served.worst_lag_ns).collect(), per_mille)
    }
}

fn rank(mut values: Vec<u64>, per_mille: usize) -> Option<u64> {
    values.sort_unstable();
    values.get((values.len() * per_mille / 1000).min(values.len().checked_sub(1)?)).copied()
}
