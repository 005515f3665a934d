//! What a study shows beyond each experiment alone, on results that were made up with known effects.

use std::fs;

use llem_tests::synthetic::Synthetic;
use serde_json::Value;

use crate::workspace;

/// 25 experiments: the first setting takes a fifth off the energy a level, and less of it the higher the second is.
fn study() -> Synthetic {
    Synthetic { levels: vec![5, 5], traced: 0, boards: 0, ..Synthetic::large() }
}

#[test]
fn experiments_are_compared_within_repeats_and_drift_and_front_are_told() {
    let workspace = workspace();
    let results = study().write(workspace.path()).expect("writable");
    let results = results.to_str().expect("a plain name");
    let shown = workspace.llem(&["show", results]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for part in [
        "energy_per_output_token_joules beside that of batch_size=1, max_tokens=1",
        "share of variance [interval]",
        "batch_size with",
        "none is better at once in",
        "drift of energy_per_output_token_joules over the study",
    ] {
        assert!(shown.stdout.contains(part), "`{part}` is not in\n{}", shown.stdout);
    }
    let summary = workspace.llem(&["show", "--json", results]);
    let summary: Value = serde_json::from_str(&summary.stdout).expect("it is JSON");
    let contrasts = summary["contrasts"].as_array().expect("a list");
    assert_eq!(contrasts.len(), 24, "each but the reference");
    // A fifth less energy a level, by 1 % of noise: known to the test, not to the program.
    let ratio = contrasts[0]["ratio"].as_f64().expect("a number");
    assert!((ratio - 0.8).abs() < 0.05, "{:#}", contrasts[0]);
    assert!(contrasts[3]["p_value"].as_f64().expect("a number") < 0.05, "{:#}", contrasts[3]);
    assert!(summary["drift"]["p_value"].as_f64().is_some(), "{:#}", summary["drift"]);
}

#[test]
fn a_sampled_design_has_indices_instead_of_effects() {
    let workspace = workspace();
    let results = study().write(workspace.path()).expect("writable");
    let path = results.join("plan.json");
    let mut plan: Value =
        serde_json::from_str(&fs::read_to_string(&path).expect("readable")).expect("it is JSON");
    plan["sampled"] = true.into();
    fs::write(&path, plan.to_string()).expect("writable");
    let shown = workspace.llem(&["show", "--json", results.to_str().expect("a plain name")]);
    let summary: Value = serde_json::from_str(&shown.stdout).expect("it is JSON");
    let of = |name: &str| {
        let list = summary["sensitivity"].as_array().expect("a list");
        let found =
            list.iter().find(|it| it["setting"].as_str().is_some_and(|it| it.contains(name)));
        let found = found.unwrap_or_else(|| panic!("{name} in {list:#?}"));
        (
            found["first_order"].as_f64().expect("a number"),
            found["total"].as_f64().expect("a number"),
            found["predicted"].as_f64().expect("a number"),
        )
    };
    let (batch, _, predicted) = of("batch_size");
    let (tokens, total, _) = of("max_tokens");
    // The logarithm is l (ln 0.8 + m ln 1.06) for levels l and m of the two: 35 %, 43 % and 21 % together.
    assert!((batch - 0.354).abs() < 0.03 && (tokens - 0.431).abs() < 0.03, "{batch} {tokens}");
    assert!((total - 0.645).abs() < 0.03, "{total}");
    assert!(predicted > 0.9, "{predicted}");
    let text = workspace.llem(&["show", results.to_str().expect("a plain name")]);
    assert!(text.stdout.contains("What causes the variance of"), "{}", text.stdout);
}
