//! The load generator against the fake engine: counts, traps, faults, and the end of a load.
//!
//! Times are checked only as far as a busy machine keeps them; accuracy is the benchmark's matter.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use llem_core::{
    arrival::Arrival,
    latency::{RequestLog, Status, Window, window_metrics},
    sse::CountedBy,
    workload::{Form, Length, Synthetic, Workload},
};
use llem_fake_engine::{Behaviour, FakeEngine, Fault, Text, Truth, UsageReport};
use llem_load::{
    http::{self, Control, Plan, Protocol, Stop, UsageRequest},
    target::Target,
};

const OUTPUT: u32 = 20;

fn plan(engine: &FakeEngine, protocol: Protocol, requests: u64) -> Plan {
    let form = if protocol == Protocol::OpenAiChat { Form::Words } else { Form::TokenIds };
    let workload = Workload::Synthetic(Synthetic {
        vocabulary: 10..1000,
        input_tokens: Length::Exact(12),
        output_tokens: Length::Exact(OUTPUT),
        shared_prefix_tokens: 0,
        form,
        seed: 1,
    });
    let base = if protocol == Protocol::Json { "/generate" } else { "/v1" };
    let arrival = Arrival::ClosedLoop { concurrency: 4 };
    let mut plan =
        Plan::new(Target::at(engine.address(), base), protocol, "fake", workload, arrival);
    plan.stop = Stop::After(requests);
    plan.request_timeout = Duration::from_secs(20);
    plan
}

/// Runs some requests against a behaviour and gives what the client logged and what the engine did.
fn run(
    behaviour: Behaviour,
    protocol: Protocol,
    change: impl FnOnce(&mut Plan),
) -> (RequestLog, Truth) {
    let engine = FakeEngine::start(behaviour).expect("the fake engine starts");
    let mut plan = plan(&engine, protocol, 12);
    change(&mut plan);
    let log = http::run(&plan, &Control::new()).expect("the load runs");
    (log, engine.stop().expect("the fake engine ends"))
}

fn tokens(log: &RequestLog) -> u64 {
    log.requests.iter().filter_map(|request| request.output_tokens).sum()
}

fn first_token_ms(log: &RequestLog) -> f64 {
    let window = Window { from_ns: log.started_ns.saturating_sub(1), to_ns: log.ended_ns };
    window_metrics(log, window, None, 1).time_to_first_token.expect("there are tokens").p50.point
        * 1e3
}

#[test]
fn counts_equal_the_engines_for_every_protocol_and_every_kind_of_usage() {
    for protocol in [Protocol::OpenAiCompletions, Protocol::OpenAiChat] {
        for (usage, counted_by) in [
            (UsageRequest::Absent, CountedBy::Events),
            (UsageRequest::Final, CountedBy::Usage),
            (UsageRequest::Running, CountedBy::RunningUsage),
        ] {
            let (log, truth) = run(Behaviour::default(), protocol, |plan| plan.usage = usage);
            assert_eq!(log.requests.len(), 12);
            assert!(
                log.requests.iter().all(|request| request.status == Status::Completed),
                "{:?}",
                log.requests[0]
            );
            assert!(
                log.requests.iter().all(|request| request.counted_by == Some(counted_by)),
                "{protocol:?} {usage:?}"
            );
            assert_eq!((tokens(&log), truth.tokens()), (240, 240), "{protocol:?} {usage:?}");
            assert!(
                log.requests
                    .iter()
                    .all(|request| request.tokens.len() == 20 && !request.contradiction)
            );
        }
    }
}

#[test]
fn chunks_of_several_tokens_and_empty_texts_are_counted_by_usage() {
    for behaviour in [
        Behaviour { tokens_per_chunk: 4, ..Behaviour::default() },
        Behaviour { tokens_per_chunk: 3, ..Behaviour::default() },
        Behaviour { text: Text::Empty, ..Behaviour::default() },
        Behaviour { chunks_per_write: 7, keep_alives: true, ..Behaviour::default() },
        Behaviour { one_byte_writes: true, ..Behaviour::default() },
    ] {
        for protocol in [Protocol::OpenAiCompletions, Protocol::OpenAiChat] {
            for usage in [UsageRequest::Final, UsageRequest::Running] {
                let (log, truth) = run(behaviour.clone(), protocol, |plan| plan.usage = usage);
                assert_eq!((tokens(&log), truth.tokens()), (240, 240), "{behaviour:?} {usage:?}");
            }
        }
    }
}

#[test]
fn one_json_answer_has_counts_and_no_token_times() {
    let (log, _) = run(Behaviour::default(), Protocol::Json, |_| ());
    assert_eq!(tokens(&log), 240);
    assert!(
        log.requests
            .iter()
            .all(|request| request.is_completed() && request.first_token_ns.is_none())
    );
    assert!(log.requests.iter().all(|request| request.input_tokens == Some(12)));
}

#[test]
fn a_role_alone_is_not_the_first_token() {
    let behaviour = Behaviour { first_token_ms: 80.0, ..Behaviour::default() };
    let (log, _) = run(behaviour, Protocol::OpenAiChat, |_| ());
    let first = first_token_ms(&log);
    assert!((80.0..150.0).contains(&first), "{first} ms");
    assert!(
        log.requests[0].first_byte_ns.unwrap()
            < log.requests[0].first_token_ns.unwrap() - 60_000_000
    );
}

#[test]
fn every_fault_ends_in_the_right_record() {
    use Fault::{BadChunk, BadEvent, Close, ErrorEvent, NoHttp, Stall, Truncate, Unavailable};
    for (fault, fault_after, status, detail, tokens) in [
        (Unavailable, 0, Status::HttpError, "overloaded", None),
        (NoHttp, 0, Status::Malformed, "no HTTP", None),
        (Close, 5, Status::ConnectionLost, "within the body", Some(5)),
        (Close, 0, Status::ConnectionLost, "within the body", Some(0)),
        (Truncate, 5, Status::Truncated, "without `[DONE]`", Some(5)),
        (BadEvent, 5, Status::Malformed, "no chunk", Some(5)),
        (BadChunk, 5, Status::Malformed, "size", Some(5)),
        (ErrorEvent, 5, Status::EngineError, "out of memory", Some(5)),
        (Stall, 5, Status::TimedOut, "no end within 0.2 s", Some(5)),
    ] {
        let behaviour = Behaviour { fault: Some(fault), fault_after, ..Behaviour::default() };
        let (log, _) = run(behaviour, Protocol::OpenAiCompletions, |plan| {
            plan.stop = Stop::After(4);
            if fault == Stall {
                plan.request_timeout = Duration::from_millis(200);
            }
        });
        assert_eq!(log.requests.len(), 4);
        for request in &log.requests {
            assert_eq!(
                (request.status, request.output_tokens),
                (status, tokens),
                "{fault:?}: {request:?}"
            );
            let found = request.detail.as_deref().unwrap_or_default();
            assert!(found.contains(detail), "{fault:?}: {found}");
        }
    }
}

#[test]
fn wrong_usage_is_kept_as_the_engines_word_and_its_events_show_it() {
    let behaviour = Behaviour { usage: UsageReport::Wrong, ..Behaviour::default() };
    let (log, truth) = run(behaviour, Protocol::OpenAiCompletions, |_| ());
    assert_eq!((tokens(&log), truth.tokens()), (12 * 27, 240));
    let (running, _) = run(
        Behaviour { usage: UsageReport::Wrong, ..Behaviour::default() },
        Protocol::OpenAiCompletions,
        |plan| {
            plan.usage = UsageRequest::Running;
        },
    );
    assert!(running.requests.iter().all(|request| request.contradiction));
}

#[test]
fn nobody_listening_is_a_record_and_not_a_flood_of_records() {
    let engine = FakeEngine::start(Behaviour::default()).unwrap();
    let plan = plan(&engine, Protocol::OpenAiCompletions, 8);
    drop(engine);
    let log = http::run(&plan, &Control::new()).unwrap();
    let statuses = log.requests.iter().fold(BTreeMap::new(), |mut counts, request| {
        *counts.entry(request.status).or_insert(0) += 1;
        counts
    });
    assert_eq!(statuses, BTreeMap::from([(Status::ConnectFailed, 8)]));
    assert!(log.ended_ns - log.started_ns > 100_000_000, "places rest after a failure");
}

#[test]
fn a_closed_loop_keeps_its_concurrency_and_its_connections() {
    let behaviour = Behaviour { first_token_ms: 10.0, gap_ms: 1.0, ..Behaviour::default() };
    let (log, truth) =
        run(behaviour, Protocol::OpenAiCompletions, |plan| plan.stop = Stop::After(40));
    assert_eq!(truth.most_connections, 4);
    assert_eq!(log.requests.len(), 40);
    assert!(log.requests.windows(2).all(|pair| pair[0].index + 1 == pair[1].index));
}

#[test]
fn an_open_loop_counts_the_wait_of_an_overloaded_server() {
    let behaviour = Behaviour { first_token_ms: 20.0, slots: 1, ..Behaviour::default() };
    let (log, _) = run(behaviour, Protocol::OpenAiCompletions, |plan| {
        plan.arrival = Arrival::Constant { rate: 200.0 };
        plan.stop = Stop::After(40);
    });
    // Each request takes 20 ms, one comes each 5 ms: the last waits for about 40 · 15 ms.
    let last = log.requests[39].time_to_first_token().unwrap();
    assert!(last > 0.5, "{last} s");
    assert!(log.requests.iter().all(|request| request.dispatch_delay().unwrap() < 0.3));
}

#[test]
fn a_drain_follows_requests_to_their_end_and_an_abort_does_not() {
    for is_abort in [false, true] {
        let engine = FakeEngine::start(Behaviour {
            first_token_ms: 5.0,
            gap_ms: 10.0,
            ..Behaviour::default()
        })
        .unwrap();
        let mut plan = plan(&engine, Protocol::OpenAiCompletions, 0);
        plan.stop = Stop::WhenTold;
        let control = Arc::new(Control::new());
        let running = http::spawn(plan, Arc::clone(&control)).unwrap();
        while control.progress().completed < 4 || control.progress().output_tokens < 100 {
            thread::yield_now();
        }
        if is_abort {
            control.abort();
        } else {
            control.drain();
        }
        let log = running.join().unwrap();
        let cancelled =
            log.requests.iter().filter(|request| request.status == Status::Cancelled).count();
        assert_eq!(cancelled, if is_abort { 4 } else { 0 });
        assert_eq!(control.progress().in_flight(), 0);
        assert!(log.requests.iter().all(|request| is_abort || request.output_tokens == Some(20)));
        assert!(log.client_cpu_seconds(log.cpu[1].at_ns, log.cpu[2].at_ns).is_some());
    }
}

#[test]
fn a_trace_ends_by_itself() {
    let (log, _) = run(Behaviour::default(), Protocol::OpenAiCompletions, |plan| {
        plan.arrival =
            Arrival::Trace { offsets_seconds: vec![0.0, 0.01, 0.05], period_seconds: None };
        plan.stop = Stop::WhenTold;
    });
    let offsets: Vec<u64> =
        log.requests.iter().map(|request| request.scheduled_ns - log.started_ns).collect();
    assert_eq!(offsets, [0, 10_000_000, 50_000_000]);
}
