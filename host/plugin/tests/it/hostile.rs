//! A plugin that breaks costs one call: what it did is named, and the next call works.

use llem_core::backend::{Config, Path, RunOutput, Value};
use llem_plugin::{BadReply, CallError, Cause, LogLevel, Plugin};

use crate::{context, hostile};

fn cause<T: std::fmt::Debug>(reply: Result<T, CallError>) -> Cause {
    match reply {
        Err(CallError::Fault(fault)) => fault.cause,
        other => panic!("no fault: {other:?}"),
    }
}

fn misdeed(what: &str) -> Config {
    let path: Path = "engine.misdeed".parse().expect("it is a path");
    Config::from([(path, Value::Text(what.to_owned()))])
}

fn schema_cause(plugin: &Plugin, what: &str) -> Cause {
    cause(plugin.schema(what))
}

#[test]
fn a_fault_says_who_where_and_how_and_leaves_the_plugin_usable() {
    let plugin = hostile();
    let Err(CallError::Fault(fault)) = plugin.schema("trap") else { panic!("it traps") };
    assert_eq!(
        (fault.plugin.as_str(), fault.function, fault.sha256.len()),
        ("hostile", "schema-of", 64)
    );
    assert!(
        fault.to_string().starts_with("plugin `hostile` broke in `schema-of`: it trapped: "),
        "{fault}"
    );
    assert!(plugin.take_log()[0].text.ends_with("as asked"), "a panic says why");
    assert_eq!(plugin.schema("good").unwrap().parameters.len(), 2);
}

#[test]
fn a_plugin_may_say_no() {
    let Err(CallError::Backend(error)) = hostile().schema("refuse") else { panic!("it refuses") };
    assert_eq!(error.hint.as_deref(), Some("ask for `good`"));
}

#[test]
fn endless_recursion_traps_and_hunger_for_memory_is_refused() {
    let plugin = hostile();
    assert!(matches!(schema_cause(&plugin, "recurse"), Cause::Trap(_)));
    assert!(
        matches!(schema_cause(&plugin, "grow"), Cause::Memory { wanted, .. } if wanted > 512 << 20)
    );
}

#[test]
fn an_oversized_reply_is_refused() {
    assert_eq!(schema_cause(&hostile(), "huge-reply"), Cause::Output { allowed: 8 << 20 });
}

#[test]
fn an_endless_loop_ends_at_its_deadline() {
    let plugin = hostile();
    for what in ["spin", "log-forever"] {
        let cause = cause(plugin.canonicalise("good", &[misdeed(what)]));
        assert_eq!(cause, Cause::Deadline { milliseconds: 1005 }, "{what}");
    }
    assert_eq!(plugin.take_log().len(), 65);
}

#[test]
fn a_call_from_inside_a_runtime_works() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let id = runtime.block_on(async { hostile().describe().unwrap().id });
    assert_eq!(id, "hostile");
}

#[test]
fn every_bad_schema_has_its_name() {
    let plugin = hostile();
    let path = |name: &str| format!("engine.{name}");
    for (what, reason) in [
        ("duplicate-path", BadReply::Twice { what: "parameter", name: path("size") }),
        ("bad-path", BadReply::Path(path("misdeed..x"))),
        ("nan-default", BadReply::NotFinite(path("size"))),
        ("empty-range", BadReply::NothingAllowed(path("size"))),
        ("no-type", BadReply::NoType(path("misdeed"))),
        ("long-text", BadReply::TooLong { at: path("misdeed"), found: 5000, allowed: 4096 }),
        (
            "many-parameters",
            BadReply::TooMany { what: "parameters", found: 10_002, allowed: 10_000 },
        ),
    ] {
        assert_eq!(schema_cause(&plugin, what), Cause::BadReply(reason), "{what}");
    }
    assert!(matches!(schema_cause(&plugin, "bad-json"), Cause::BadReply(BadReply::Json { .. })));
    assert!(matches!(
        schema_cause(&plugin, "other-release"),
        Cause::BadReply(BadReply::OtherRelease { .. })
    ));
}

#[test]
fn bad_configurations_plans_and_observations_are_refused() {
    let plugin = hostile();
    let canonicalised = |what| cause(plugin.canonicalise("good", &[misdeed(what)]));
    assert_eq!(
        canonicalised("nan"),
        Cause::BadReply(BadReply::NotFinite("engine.size".to_owned()))
    );
    assert!(matches!(
        canonicalised("twice"),
        Cause::BadReply(BadReply::Twice { what: "setting", .. })
    ));
    let planned = |what| cause(plugin.plan(&Config::new(), &context("good", what)));
    assert_eq!(planned("no-subject"), Cause::BadReply(BadReply::Subjects { found: 0, steps: 0 }));
    assert_eq!(planned("two-subjects"), Cause::BadReply(BadReply::Subjects { found: 2, steps: 2 }));
    assert!(matches!(
        planned("many-steps"),
        Cause::BadReply(BadReply::TooMany { what: "steps", .. })
    ));
    assert_eq!(planned("nan-scale"), Cause::BadReply(BadReply::NotFinite("x".to_owned())));
    let output = RunOutput { log_head: "nan".to_owned(), ..RunOutput::default() };
    let parsed = cause(plugin.parse(&Config::new(), &context("good", "m"), &output));
    assert_eq!(parsed, Cause::BadReply(BadReply::NotFinite("x_seconds".to_owned())));
}

#[test]
fn many_configurations_come_back_in_order_with_their_findings() {
    let plugin = hostile();
    let configs: Vec<Config> =
        (0..250).map(|it| misdeed(if it == 249 { "find" } else { "" })).collect();
    let replies = plugin.canonicalise("good", &configs).unwrap();
    assert_eq!(replies.len(), 250);
    assert!(replies.iter().zip(&configs).all(|(reply, config)| reply.config == *config));
    assert_eq!(replies[249].findings[0].rule, "hostile.find");
}

#[test]
fn what_a_plugin_logs_is_capped_and_safe_to_print() {
    let plugin = hostile();
    plugin.schema("log-flood").unwrap();
    let lines = plugin.take_log();
    assert_eq!((lines.len(), lines[64].text.as_str()), (65, "9936 more lines were dropped"));
    assert_eq!(lines[0].level, LogLevel::Warn);
    plugin.schema("log-escape").unwrap();
    plugin.schema("log-long").unwrap();
    let lines = plugin.take_log();
    assert_eq!(lines[0].text, "red \\u{1b}[31m and \\u{202e}turned\\u{d}\\u{a}");
    assert!(lines[1].text.len() < 1100);
}
