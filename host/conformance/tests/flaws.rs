//! Each fixture is the same component with another flaw, and the report names it.

use std::{collections::BTreeSet, path::Path};

use llem_conformance::{RULES, Report, check, not_loaded};
use llem_plugin::{Cache, Origin, Plugin};

const COMPONENT: &[u8] = include_bytes!("flawed.wasm");

/// The component with a flaw written into it.
fn with(flaw: &str) -> Vec<u8> {
    let mark = b"FLAW:";
    let places: Vec<usize> = COMPONENT
        .windows(mark.len())
        .enumerate()
        .filter(|(_, it)| it == mark)
        .map(|(at, _)| at)
        .collect();
    assert_eq!(places.len(), 1, "the component has one place for its flaw");
    let mut bytes = COMPONENT.to_vec();
    let text = format!("{flaw:.<27}");
    bytes[places[0] + mark.len()..][..27].copy_from_slice(text.as_bytes());
    bytes
}

fn report(flaw: &str) -> Report {
    let cache = Cache::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cwasm"));
    let plugin = Plugin::load("flawed", Origin::Bundled, &with(flaw), &cache);
    check(&plugin.expect("the component loads"))
}

#[test]
fn without_a_flaw_it_passes() {
    let report = report("none");
    assert!(report.passed, "{}", report.text());
}

#[test]
fn every_flaw_is_named_by_its_rule() {
    for (flaw, rule) in [
        ("bad-id", "identity.reply"),
        ("version", "identity.version"),
        ("covers", "releases.covers"),
        ("any-release", "releases.unknown"),
        ("undocumented", "schema.doc"),
        ("default", "schema.default"),
        ("rule", "rules.compile"),
        ("unsettled", "rules.settle"),
        ("impure", "canonical.pure"),
        ("not-idempotent", "canonical.idempotent"),
        ("no-promise", "canonical.promise"),
        ("program", "plan.permission"),
        ("secret", "plan.permission"),
        ("variable", "plan.form"),
        ("pattern", "plan.pattern"),
        ("unready", "plan.ready"),
        ("attach-starts", "plan.form"),
        ("lost", "parameter.lost"),
        ("parse", "parse.total"),
        ("memory", "limit.memory"),
        ("huge-reply", "limit.reply"),
    ] {
        let report = report(flaw);
        let found: BTreeSet<&str> = report.flaws.iter().map(|it| it.rule).collect();
        assert!(found.contains(rule), "`{flaw}`: {rule} is not in {found:?}");
        assert!(found.len() <= 2, "`{flaw}` makes more than its own noise: {}", report.text());
        assert!(report.text().contains("to mend it: "), "{}", report.text());
    }
}

#[test]
fn a_plugin_that_never_answers_is_told_so() {
    let report = report("slow");
    assert_eq!(report.flaws[0].rule, "limit.time", "{}", report.text());
}

#[test]
fn what_is_no_component_has_a_report_as_well() {
    let error =
        Plugin::load("x", Origin::Bundled, b"text", &Cache::none()).expect_err("no component");
    let report = not_loaded("x", &error);
    assert!(!report.passed && report.flaws[0].rule == "load.component");
}

#[test]
fn rules_have_unique_ids() {
    let ids: BTreeSet<&str> = RULES.iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), RULES.len());
}
