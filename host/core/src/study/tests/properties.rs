//! Properties of expansion: sizes, order of writing, idempotence.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{alpha_plan, plan};

const AXES: [(&str, &str); 5] = [
    ("alpha.engine.seqs", "512"),
    ("alpha.engine.tokens", "4096"),
    ("alpha.engine.graph.mode", "0"),
    ("traffic.concurrency", "1"),
    ("workload.requests", "1"),
];

fn axis(path: &str, start: i64, size: i64) -> String {
    let values: Vec<String> = (0..size).map(|it| (start + it).to_string()).collect();
    format!("\"{path}\" = [{}]\n", values.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_product_without_rules_has_the_size_of_its_axes_and_no_doubles(sizes in proptest::collection::vec(1_i64..4, 5)) {
        let mut sweep = "[sweep]\n".to_owned();
        for ((path, start), size) in AXES.iter().zip(&sizes) {
            sweep += &axis(path, start.parse().unwrap(), *size);
        }
        let expansion = alpha_plan(&sweep);
        let size: i64 = sizes.iter().product();
        prop_assert_eq!(i64::try_from(expansion.declared).unwrap(), size);
        prop_assert_eq!(expansion.experiments.len() + expansion.skipped.len(), expansion.declared);
        let ids: BTreeSet<_> = expansion.experiments.iter().map(|it| it.id).collect();
        prop_assert_eq!(ids.len(), expansion.experiments.len());
    }

    #[test]
    fn the_order_of_keys_does_not_change_what_runs(order in Just((0..AXES.len()).collect::<Vec<_>>()).prop_shuffle()) {
        let written = |order: &[usize]| {
            let sweep: String = order.iter().map(|at| axis(AXES[*at].0, AXES[*at].1.parse().unwrap(), 2)).collect();
            let expansion = alpha_plan(&format!("[sweep]\n{sweep}"));
            expansion.experiments.into_iter().map(|it| it.id).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(written(&order), written(&[0, 1, 2, 3, 4]));
    }

    #[test]
    fn canonical_settings_are_their_own_canonical_form(
        sample: bool, temperature in 0_u8..20, eager: bool, mode in 0_u8..4, quantization in 0_usize..3, dtype in 0_usize..4
    ) {
        let quantization = ["", "engine.quantization = \"fp8\"\n", "engine.quantization = \"awq\"\n"][quantization];
        let dtype = ["auto", "float16", "bfloat16", "float32"][dtype];
        let written = format!(
            "{quantization}engine.dtype = \"{dtype}\"\nengine.eager = {eager}\nengine.graph.mode = {mode}\n\
             sampling.do_sample = {sample}\nsampling.temperature = {}", f64::from(temperature) / 10.0
        );
        let first = alpha_plan(&written);
        let lines: Vec<String> = first.experiments[0]
            .settings
            .iter()
            .map(|(path, value)| format!("{path} = {}", serde_json::to_string(value).unwrap()))
            .collect();
        let second = alpha_plan(&lines.join("\n"));
        prop_assert_eq!(&first.experiments[0].settings, &second.experiments[0].settings);
        prop_assert_eq!(first.experiments[0].id, second.experiments[0].id);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "[a-z\\[\\]={}\"'\\.0-9 \n#]{0,80}") {
        let prefix = "model.id = \"m\"\n[plugin.alpha]\n[sweep]\n";
        drop(plan(&text));
        drop(plan(&format!("{prefix}{text}")));
    }
}
