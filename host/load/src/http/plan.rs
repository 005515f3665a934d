//! What a load is: everything that is known before the first request.

use std::time::Duration;

use llem_core::{arrival::Arrival, workload::Workload};
use serde_json::{Map, Value};

use crate::target::Target;

/// A load of one server.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// What the endpoint speaks.
    pub protocol: Protocol,
    /// The value of `model` in each request.
    pub served_model: String,
    /// Further fields of each request: sampling and the like.
    pub body: Map<String, Value>,
    /// Ask for exactly the wanted number of tokens: `ignore_eos` and `min_tokens`.
    pub exact: bool,
    /// Which token counts to ask for.
    pub usage: UsageRequest,
    /// Where prompts come from.
    pub workload: Workload,
    /// Index of the first request: a load that follows another on the same engine asks for other prompts.
    pub first_index: u64,
    /// When requests are due.
    pub arrival: Arrival,
    /// Spreads the first requests of a closed loop evenly over this time; zero sends them together.
    pub ramp_up: Duration,
    /// Begins a closed loop in its steady state: the first request of each place asks for a share of its output only, so
    /// that requests of one length do not end together.
    pub staggered: bool,
    /// Seed of the arrival process.
    pub seed: u64,
    /// When the load ends by itself.
    pub stop: Stop,
    /// Longest time from dispatch to the last byte, kept to within 100 ms.
    pub request_timeout: Duration,
    /// Processor cores to run on; empty leaves the choice to the system.
    pub cores: Vec<usize>,
    /// Ask for a higher scheduling priority; a refusal is noted in the log.
    pub raise_priority: bool,
}

impl Plan {
    /// A plan with nothing special: exact lengths, a total of tokens at the end, no end of its own.
    pub fn new(
        target: Target,
        protocol: Protocol,
        served_model: &str,
        workload: Workload,
        arrival: Arrival,
    ) -> Self {
        Self {
            target,
            protocol,
            served_model: served_model.to_owned(),
            body: Map::new(),
            exact: true,
            usage: UsageRequest::Final,
            workload,
            first_index: 0,
            arrival,
            ramp_up: Duration::ZERO,
            staggered: false,
            seed: 42,
            stop: Stop::WhenTold,
            request_timeout: Duration::from_mins(10),
            cores: Vec::new(),
            raise_priority: false,
        }
    }
}

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `/completions`, streamed.
    OpenAiCompletions,
    /// `/chat/completions`, streamed.
    OpenAiChat,
    /// One JSON answer to one JSON request at the base path itself, not streamed.
    Json,
}

impl Protocol {
    /// The protocol of a name as launch plans state it; none for a name that is not known.
    ///
    /// ```
    /// use llem_load::http::Protocol;
    /// assert_eq!(Protocol::from_name("openai-chat"), Some(Protocol::OpenAiChat));
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::OpenAiCompletions, Self::OpenAiChat, Self::Json]
            .into_iter()
            .find(|protocol| protocol.name() == name)
    }

    /// Its name in launch plans.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiCompletions => "openai-completions",
            Self::OpenAiChat => "openai-chat",
            Self::Json => "json",
        }
    }

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::OpenAiCompletions => "/completions",
            Self::OpenAiChat => "/chat/completions",
            Self::Json => "",
        }
    }
}

/// Which token counts a streamed request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageRequest {
    /// None: the server would refuse.
    Absent,
    /// A total at the end.
    Final,
    /// A running total with each chunk, and one at the end.
    Running,
}

/// When a load ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Never: somebody drains or aborts it, or a trace ends.
    WhenTold,
    /// After this many requests.
    After(u64),
}
