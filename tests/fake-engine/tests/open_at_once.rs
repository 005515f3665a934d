//! Thousands of streams between the load generator and this server, each in a process of its own: descriptors are
//! counted by process.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use llem_core::{
    arrival::Arrival,
    latency::{Status, Window, window_metrics},
    workload::{Form, Length, Synthetic, Workload},
};
use llem_fake_engine::{Behaviour, Truth};
use llem_load::{
    http::{self, Control, Plan, Protocol, Stop},
    probe::probe,
    target::Target,
};
use rustix::process::{Resource, getrlimit};

const OUTPUT: u32 = 5;

/// The program, ended when the test is over.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(behaviour: &Behaviour) -> Self {
        let behaviour = serde_json::to_string(behaviour).expect("it has string keys");
        let mut process = Command::new(env!("CARGO_BIN_EXE_llem-fake-engine"))
            .args(["0", &behaviour])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the fake engine starts");
        let mut line = String::new();
        let output = process.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it says where it listens");
        let url = line.split_whitespace().last().expect("an address").to_owned();
        Self { process, url }
    }

    fn truth(&self) -> Truth {
        let target = Target::parse(&self.url).expect("an address");
        let answer = probe(&target, "GET", "/truth", None, Duration::from_mins(1));
        serde_json::from_slice(&answer.expect("it answers").body).expect("the truth")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// All requests of the first round are open before any is answered.
fn open_at_once(streams: u32) {
    let gather = usize::try_from(streams).expect("it fits");
    let server = Server::start(&Behaviour { gather, gap_ms: 2.0, ..Behaviour::default() });
    let requests = u64::from(streams) * 2;
    let workload = Workload::Synthetic(Synthetic {
        vocabulary: 10..1000,
        input_tokens: Length::Exact(4),
        output_tokens: Length::Exact(OUTPUT),
        shared_prefix_tokens: 0,
        form: Form::TokenIds,
        seed: 1,
    });
    let target = Target::parse(&format!("{}/v1", server.url)).expect("an address");
    let arrival = Arrival::ClosedLoop { concurrency: streams };
    let mut plan = Plan::new(target, Protocol::OpenAiCompletions, "fake", workload, arrival);
    plan.stop = Stop::After(requests);
    let log = http::run(&plan, &Control::new()).expect("the load runs");
    let truth = server.truth();
    let failed = log.requests.iter().find(|request| request.status != Status::Completed);
    assert_eq!(failed, None);
    assert_eq!(log.requests.len(), truth.served.len());
    assert!(truth.most_connections >= gather, "{} connections", truth.most_connections);
    let expected = requests * u64::from(OUTPUT);
    let tokens: u64 = log.requests.iter().filter_map(|request| request.output_tokens).sum();
    assert_eq!((tokens, truth.tokens()), (expected, expected));
    let whole = Window { from_ns: log.started_ns.saturating_sub(1), to_ns: log.ended_ns };
    let metrics = window_metrics(&log, whole, None, 1);
    assert_eq!(metrics.output_tokens, expected, "each token has its time");
}

#[test]
fn four_thousand_streams_lose_no_token() {
    open_at_once(4096);
}

#[test]
fn ten_thousand_requests_are_open_at_once() {
    // Few systems allow less; the other test runs beside this one.
    let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let room = allowed.saturating_sub(4096 + 1000);
    open_at_once(u32::try_from(room).unwrap_or(u32::MAX).min(10_000));
}
