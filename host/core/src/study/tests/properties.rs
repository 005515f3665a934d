//! Properties of expansion: sizes, order of writing, canonical form, identity.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::{alpha_plan, plan};
use crate::{
    backend::Severity,
    study::{Expansion, ExperimentId, write::toml_text},
};

/// Parameters with a default and other values, each value in several spellings.
const PARAMETERS: [(&str, &[&[&str]]); 13] = [
    ("engine.seqs", &[&["256", "256.0"], &["8", "8.0", "0x8"], &["1024", "1_024"]]),
    ("engine.dtype", &[&["\"auto\"", "'auto'"], &["\"float16\"", "'float16'"], &["\"bfloat16\""]]),
    (
        "engine.quantization",
        &[&["{ null = true }"], &["\"fp8\"", "'fp8'"], &["\"awq\"", "\"\"\"awq\"\"\""]],
    ),
    ("engine.cache", &[&["\"auto\""], &["\"fp8\""]]),
    ("engine.eager", &[&["false"], &["true"]]),
    ("engine.utilization", &[&["0.9", "0.90", "9e-1"], &["0.5", "5e-1"], &["0.99"]]),
    ("engine.graph.mode", &[&["1", "1.0"], &["0", "0.0"], &["3"]]),
    ("engine.graph.sizes", &[&["{ null = true }"], &["[1, 2]", "[ 1, 2, ]"], &["[2, 1]"]]),
    (
        "engine.options",
        &[&["{ null = true }"], &["{ a = 1, b = { c = 2 } }", "{ b.c = 2, a = 1 }"]],
    ),
    ("sampling.do_sample", &[&["true"], &["false"]]),
    ("sampling.temperature", &[&["1.0", "1"], &["0.5", "0.50"]]),
    ("sampling.top_p", &[&["1.0", "1"], &["0.25", "2.5e-1"]]),
    ("workload.requests", &[&["512"], &["16", "0x10"]]),
];

/// How a setting is written: which value and spelling, and where.
#[derive(Clone, Copy, Debug)]
struct Way {
    value: usize,
    spelling: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Not at all: the default.
    Absent,
    Dotted,
    Quoted,
    Axis,
    Variant,
}

fn way() -> impl Strategy<Value = Way> {
    let places =
        [Place::Absent, Place::Dotted, Place::Quoted, Place::Axis, Place::Variant].as_slice();
    (0..6_usize, 0..6_usize, prop::sample::select(places))
        .prop_map(|(value, spelling, place)| Way { value, spelling, place })
}

/// A study of one configuration, written in these ways; axes and variants may be one explicit experiment instead.
fn written(ways: &[Way], order: &[usize], explicit: bool) -> String {
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for at in order {
        let ((path, values), way) = (&PARAMETERS[*at], &ways[*at]);
        let spellings = values[way.value % values.len()];
        let value = spellings[way.spelling % spellings.len()];
        let (table, name) = match path.strip_prefix("workload.") {
            Some(name) => ("[workload]", name),
            None => ("[plugin.alpha]", *path),
        };
        let swept =
            if table == "[workload]" { (*path).to_owned() } else { format!("alpha.{path}") };
        match way.place {
            Place::Absent => {}
            Place::Dotted => tables.entry(table).or_default().push(format!("{name} = {value}")),
            Place::Quoted => tables.entry(table).or_default().push(format!("\"{name}\" = {value}")),
            Place::Axis | Place::Variant if explicit => {
                tables.entry("[[experiment]]").or_default().push(format!("\"{swept}\" = {value}"));
            }
            Place::Axis => {
                tables.entry("[sweep]").or_default().push(format!("\"{swept}\" = [{value}]"));
            }
            Place::Variant => {
                let option = format!("[[sweep.variants]]\noptions = [{{ \"{swept}\" = {value} }}]");
                tables.entry("").or_default().push(option);
            }
        }
    }
    let variants = tables.remove("").unwrap_or_default();
    let mut tables: Vec<String> =
        tables.into_iter().map(|(table, lines)| format!("{table}\n{}", lines.join("\n"))).collect();
    tables.extend(variants);
    if !tables.iter().any(|it| it.starts_with("[plugin")) {
        tables.push("[plugin.alpha]".to_owned());
    }
    tables.push("[model]\nid = \"gpt2\"".to_owned());
    // Which table comes first is drawn with the order of the settings.
    let turn = order.first().copied().unwrap_or_default() % tables.len();
    tables.rotate_left(turn);
    tables.join("\n")
}

/// The one experiment of a study, or the rule that refuses it.
fn only(text: &str) -> Result<(ExperimentId, String), String> {
    let expansion = plan(text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
    assert_eq!(expansion.declared, 1, "{text}");
    match (&expansion.experiments[..], &expansion.skipped[..]) {
        ([one], []) => Ok((one.id, format!("{:?} {:?}", one.settings, one.workload))),
        ([], [skipped]) => Err(skipped.rule.to_string()),
        other => panic!("{other:?}"),
    }
}

/// The same meaning: another spelling and place for each setting, and defaults that are not written.
fn reworded(ways: &[Way], again: &[Way]) -> Vec<Way> {
    let reword = |(at, (way, other)): (usize, (&Way, &Way))| {
        let is_default = way.place == Place::Absent || way.value % PARAMETERS[at].1.len() == 0;
        let value = if is_default { 0 } else { way.value };
        let place = match other.place {
            Place::Absent if !is_default => Place::Dotted,
            place => place,
        };
        Way { value, place, ..*other }
    };
    ways.iter().zip(again).enumerate().map(reword).collect()
}

fn axis(path: &str, start: usize, size: usize) -> String {
    let values: Vec<String> = (0..size).map(|it| (start + it).to_string()).collect();
    format!("\"{path}\" = [{}]", values.join(", "))
}

fn ids(expansion: &Expansion) -> BTreeSet<ExperimentId> {
    expansion.experiments.iter().map(|it| it.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_size_is_that_of_the_product_and_nothing_of_it_is_lost(
        axes in vec(1_usize..4, 3), zipped in 1_usize..4, variants in 1_usize..4, explicit in 0_usize..3,
    ) {
        // Of the variants one merges with others, and one is refused.
        let options = ["{}", "{ \"alpha.engine.eager\" = true }",
            "{ \"alpha.engine.cache\" = \"fp8\" }"];
        let expansion = alpha_plan(&format!(
            "[sweep]\n{}\n{}\n{}\n[[sweep.zip]]\n{}\n{}\n[[sweep.variants]]\noptions = [{}]\n{}",
            axis("alpha.engine.seqs", 512, axes[0]),
            axis("alpha.engine.graph.mode", 0, axes[1]),
            axis("traffic.concurrency", 1, axes[2]),
            axis("workload.input_tokens", 8, zipped),
            axis("workload.output_tokens", 4, zipped),
            options[..variants].join(", "),
            "[[experiment]]\n\"alpha.engine.seqs\" = 1\n".repeat(explicit),
        ));
        prop_assert_eq!(expansion.declared, axes.iter().product::<usize>() * zipped * variants + explicit);
        let merged: usize = expansion.merged.iter().map(|it| it.others.len()).sum();
        prop_assert_eq!(expansion.experiments.len() + expansion.skipped.len() + merged, expansion.declared);
        prop_assert_eq!(ids(&expansion).len(), expansion.experiments.len());
        // A configuration with an fp8 cache and no fp8 is refused; nothing else is.
        let refused = if variants == 3 { axes.iter().product::<usize>() * zipped } else { 0 };
        prop_assert_eq!(expansion.skipped.len(), refused);
        // An eager engine has no graphs: the axis of their mode collapses.
        let eager = if variants > 1 { axes[0] * axes[2] * zipped } else { 0 };
        let all = axes.iter().product::<usize>() * zipped + eager + usize::from(explicit > 0);
        prop_assert_eq!(expansion.experiments.len(), all);
    }

    #[test]
    fn the_order_of_axes_and_of_their_values_does_not_change_what_runs(
        order in Just(vec![0, 1, 2, 3]).prop_shuffle(), values in Just(vec!["1", "2", "4", "512"]).prop_shuffle(),
    ) {
        let study = |order: &[usize], values: &[&str]| {
            let paths = ["alpha.engine.seqs", "alpha.engine.tokens", "traffic.concurrency", "workload.requests"];
            let axes: Vec<String> = order.iter().map(|at| format!("\"{}\" = [{}]", paths[*at], values.join(", "))).collect();
            ids(&alpha_plan(&format!("[sweep]\n{}", axes.join("\n"))))
        };
        let first = study(&[0, 1, 2, 3], &["1", "2", "4", "512"]);
        prop_assert_eq!(first.len(), 10 * 4 * 4, "of 16 pairs of sequences and tokens 10 are allowed");
        prop_assert_eq!(study(&order, &values), first);
    }

    #[test]
    fn the_order_of_keys_and_tables_changes_nothing(
        ways in vec(way(), PARAMETERS.len()), explicit: bool,
        order in Just((0..PARAMETERS.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let straight: Vec<usize> = (0..PARAMETERS.len()).collect();
        prop_assert_eq!(only(&written(&ways, &order, explicit)), only(&written(&ways, &straight, explicit)));
    }

    #[test]
    fn equal_meaning_has_one_identity_however_it_is_written(
        ways in vec(way(), PARAMETERS.len()), again in vec(way(), PARAMETERS.len()), explicit: bool, other: bool,
        order in Just((0..PARAMETERS.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let straight: Vec<usize> = (0..PARAMETERS.len()).collect();
        let one = written(&ways, &straight, explicit);
        let same = written(&reworded(&ways, &again), &order, other);
        prop_assert_eq!(only(&one), only(&same), "\n{}\n\n{}", one, same);
    }

    #[test]
    fn identities_are_equal_only_where_the_canonical_form_is(
        ways in vec(way(), PARAMETERS.len()), at in 0..PARAMETERS.len(), value in 0..6_usize,
    ) {
        let straight: Vec<usize> = (0..PARAMETERS.len()).collect();
        let mut changed = ways.clone();
        changed[at] = Way { value, place: Place::Dotted, ..ways[at] };
        let (one, other) = (only(&written(&ways, &straight, false)), only(&written(&changed, &straight, false)));
        if let (Ok((id, form)), Ok((other_id, other_form))) = (one, other) {
            prop_assert_eq!(id == other_id, form == other_form, "{} {}", form, other_form);
        }
    }

    #[test]
    fn canonical_settings_are_their_own_canonical_form(ways in vec(way(), PARAMETERS.len() - 1)) {
        let straight: Vec<usize> = (0..ways.len()).collect();
        let first = plan(&written(&ways, &straight, false)).unwrap();
        if let [one] = &first.experiments[..] {
            let lines: Vec<String> = one.settings.iter().map(|(path, value)| format!("{path} = {}", toml_text(value))).collect();
            let second = alpha_plan(&lines.join("\n"));
            prop_assert_eq!(&second.experiments[0].settings, &one.settings);
            prop_assert_eq!(second.experiments[0].id, one.id);
            prop_assert!(second.notes.iter().all(|it| it.severity == Severity::Warning), "{:?}", second.notes);
        }
    }

    #[test]
    fn no_text_makes_reading_panic(text in "[a-z\\[\\]={}\"'\\.0-9 \n#]{0,80}") {
        let prefix = "model.id = \"m\"\n[plugin.alpha]\n[sweep]\n";
        drop(plan(&text));
        drop(plan(&format!("{prefix}{text}")));
    }
}
