//! Sessions of several turns, and a client that is kept from its work.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use llem_core::{
    arrival::Arrival,
    latency::{RequestLog, Window, window_metrics},
    workload::{Form, Length, Sessions, Synthetic, Workload},
};
use llem_fake_engine::{Behaviour, FakeEngine};
use llem_load::{
    http::{self, Control, Plan, Protocol, Stop},
    target::Target,
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const INPUT: u32 = 4;
const OUTPUT: u32 = 5;

fn synthetic() -> Synthetic {
    Synthetic {
        vocabulary: 10..1000,
        input_tokens: Length::Exact(INPUT),
        output_tokens: Length::Exact(OUTPUT),
        shared_prefix_tokens: 0,
        form: Form::TokenIds,
        seed: 1,
    }
}

fn plan(engine: &FakeEngine, arrival: Arrival, requests: u64) -> Plan {
    let target = Target::at(engine.address(), "/v1");
    let workload = Workload::Synthetic(synthetic());
    let mut plan = Plan::new(target, Protocol::OpenAiCompletions, "fake", workload, arrival);
    plan.stop = Stop::After(requests);
    plan
}

fn whole(log: &RequestLog) -> Window {
    Window { from_ns: log.started_ns.saturating_sub(1), to_ns: log.ended_ns }
}

#[test]
fn a_turn_of_a_session_waits_for_the_answer_before_it_and_holds_it() {
    for arrival in [Arrival::ClosedLoop { concurrency: 2 }, Arrival::Constant { rate: 200.0 }] {
        let behaviour = Behaviour { first_token_ms: 3.0, ..Behaviour::default() };
        let engine = FakeEngine::start(behaviour).expect("the fake engine starts");
        let mut plan = plan(&engine, arrival, 30);
        let turns = NonZeroU32::new(3).expect("not zero");
        plan.workload = Workload::Sessions(Sessions { source: synthetic(), turns });
        // In the middle of a session: it begins with the next one.
        plan.first_index = 4;
        let log = http::run(&plan, &Control::new()).expect("the load runs");
        assert_eq!(log.requests.len(), 30);
        let by_index: BTreeMap<u64, _> = log.requests.iter().map(|it| (it.index, it)).collect();
        assert_eq!(by_index.len(), 30, "each is sent once");
        assert_eq!(by_index.keys().next(), Some(&6));
        for (index, request) in &by_index {
            let turn = index % 3;
            let input = u64::from(INPUT) * (turn + 1) + u64::from(OUTPUT) * turn;
            assert_eq!(request.input_tokens, Some(input), "{request:?}");
            if turn > 0 {
                let before = by_index[&(index - 1)];
                assert!(request.scheduled_ns >= before.end_ns, "{before:?} {request:?}");
            }
        }
        let sent: Vec<_> = log.requests.iter().map(|it| it.dispatched_ns).collect();
        assert!(sent.is_sorted(), "in the order in which they were sent");
    }
}

#[test]
fn a_session_ends_with_a_failed_request() {
    let behaviour =
        Behaviour { fault: Some(llem_fake_engine::Fault::Unavailable), ..Behaviour::default() };
    let engine = FakeEngine::start(behaviour).expect("the fake engine starts");
    let mut plan = plan(&engine, Arrival::Constant { rate: 200.0 }, 5);
    let turns = NonZeroU32::new(3).expect("not zero");
    plan.workload = Workload::Sessions(Sessions { source: synthetic(), turns });
    let log = http::run(&plan, &Control::new()).expect("the load runs");
    let indices: Vec<u64> = log.requests.iter().map(|request| request.index).collect();
    assert_eq!(indices, [0, 3, 6, 9, 12]);
}

/// The client and 64 busy threads share one core, of which it needs more than its 65th part.
#[test]
fn a_client_that_is_kept_from_its_work_is_named() {
    let allowed = sched_getaffinity(None).expect("the system tells");
    let core = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)).expect("there is one");
    let behaviour = Behaviour { first_token_ms: 50.0, ..Behaviour::default() };
    let engine = FakeEngine::start(behaviour).expect("the fake engine starts");
    let mut plan = plan(&engine, Arrival::Constant { rate: 1000.0 }, 500);
    plan.cores = vec![core];
    let stop = AtomicBool::new(false);
    let log = thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                let mut only = CpuSet::new();
                only.set(core);
                sched_setaffinity(None, &only).expect("it is allowed");
                while !stop.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        // On a thread of its own, so that this one is not pinned as well.
        let log = scope.spawn(|| http::run(&plan, &Control::new())).join();
        stop.store(true, Relaxed);
        log
    });
    let log = log.expect("no panic").expect("the load runs");
    assert!(log.requests.iter().all(llem_core::latency::Request::is_completed));
    let scheduled = log.requests.iter().map(|request| request.scheduled_ns - log.started_ns);
    assert!(scheduled.eq((0..500).map(|place| place * 1_000_000)), "the schedule is kept");
    let client = window_metrics(&log, whole(&log), None, 1).client;
    let named = "the load generator sent 1 % of the requests more than";
    assert!(client.warnings.iter().any(|it| it.starts_with(named)), "{client:?}");
}
