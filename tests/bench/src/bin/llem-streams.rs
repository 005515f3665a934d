//! llem's load generator as a program, for the comparison of clients.

use std::io;

use llem_client_bench::{Arguments, report};
use llem_core::{
    arrival::Arrival,
    workload::{Form, Length, Synthetic, Workload},
};
use llem_load::{
    http::{self, Control, Plan, Protocol, Stop},
    target::Target,
};

fn main() -> io::Result<()> {
    let Some(arguments) = Arguments::read() else {
        return Err(io::Error::other("usage: llem-streams URL STREAMS REQUESTS TOKENS [RATE]"));
    };
    let workload = Workload::Synthetic(Synthetic {
        vocabulary: 1000..30_000,
        input_tokens: Length::Exact(16),
        output_tokens: Length::Exact(arguments.tokens),
        shared_prefix_tokens: 0,
        form: Form::TokenIds,
        seed: 1,
    });
    let arrival = match arguments.rate {
        Some(rate) => Arrival::Poisson { rate },
        None => Arrival::ClosedLoop { concurrency: arguments.streams },
    };
    let target = Target::parse(&arguments.url).map_err(io::Error::other)?;
    let mut plan = Plan::new(target, Protocol::OpenAiCompletions, "fake", workload, arrival);
    plan.ramp_up = arguments.ramp_up();
    plan.stop = Stop::After(arguments.requests);
    let log = http::run(&plan, &Control::new()).map_err(io::Error::other)?;
    report("llem", arguments.streams, &log)
}
