//! What studies say and what is said of faulty ones; the files are in `tests/studies`.

use super::{parse, plan};
use crate::study::{Order, Repeats, Rest, Warmup};

macro_rules! fixture {
    ($($part:literal),*) => {
        include_str!(concat!("../../../../../tests/studies/", $($part),*))
    };
}

/// The problems of a study, one a line, planned where it can be read.
fn problems(text: &str, name: &str) -> String {
    let problems = match parse(text, name) {
        Ok(study) => super::expand(
            &study,
            &super::schemas(),
            &super::Facts::default(),
            &mut super::no_code_rules,
        )
        .unwrap_err(),
        Err(problems) => problems,
    };
    problems.iter().fold(String::new(), |text, it| text + &it.to_string() + "\n")
}

macro_rules! invalid {
    ($($test:ident: $name:literal),* $(,)?) => {$(
        #[test]
        fn $test() {
            let found = problems(fixture!("invalid/", $name, ".toml"), concat!($name, ".toml"));
            let expected = fixture!("invalid/", $name, ".txt");
            assert!(found == expected, "found:\n{found}\nexpected:\n{expected}");
        }
    )*};
}

invalid! {
    unknown_keys_and_values_are_named_all_at_once: "keys",
    what_is_not_toml_is_pointed_at: "syntax",
    settings_that_contradict_each_other_are_named: "conflicts",
    faulty_sweeps_are_named_all_at_once: "sweep",
    parameters_are_checked_against_the_schema: "parameters",
    an_unknown_runner_is_named: "plugin",
    a_path_that_is_swept_twice_is_named: "twice",
    a_plugin_that_is_not_installed_is_named: "unknown-plugin",
}

#[test]
fn the_whole_language_is_read() {
    let study = parse(fixture!("valid/whole.toml"), "whole.toml").unwrap();
    assert_eq!((study.name(), study.seed()), ("whole", 7));
    let measure = study.measure();
    assert_eq!(measure.repeats, Repeats { min: 3, max: 12, half_width: Some(0.02) });
    assert_eq!((measure.order, measure.rest), (Order::Counterbalanced, Rest::Auto));
    assert!(matches!(measure.warmup, Warmup::Duration(duration) if duration.as_secs() == 60));
    assert_eq!(study.slo().unwrap().time_to_first_token.unwrap().as_millis(), 500);
    assert_eq!(study.limits().study.unwrap().as_secs(), 12 * 3600);
    let plugins: Vec<&str> = study.plugins().iter().map(|it| it.id.as_str()).collect();
    assert_eq!(plugins, ["alpha", "beta"]);
    assert_eq!(study.plugins()[0].venv, ["/opt/venv", "~/venv"]);
    assert_eq!(study.plugins()[0].secrets, ["hf-token"]);
    let expansion = plan(fixture!("valid/whole.toml")).unwrap();
    assert!(!expansion.experiments.is_empty());
}

#[test]
fn a_study_without_traffic_is_offline() {
    let expansion = plan(fixture!("valid/offline.toml")).unwrap();
    assert!(expansion.experiments.iter().all(|it| it.traffic.is_none()));
    assert_eq!(super::labels(&expansion), ["seqs=1", "seqs=2"]);
}

#[test]
fn a_study_may_compare_modes() {
    let expansion = plan(fixture!("valid/modes.toml")).unwrap();
    assert_eq!(super::labels(&expansion), ["mode=offline", "mode=server-8", "mode=poisson"]);
    let served: Vec<bool> = expansion.experiments.iter().map(|it| it.traffic.is_some()).collect();
    assert_eq!(served, [false, true, true]);
}

#[test]
fn a_study_without_a_name_has_that_of_its_file() {
    let text = "model.id = \"gpt2\"\n[plugin.alpha]";
    for (file, name) in [("/a/b/my study.toml", "my-study"), ("x.toml", "x"), ("", "study")] {
        assert_eq!(parse(text, file).unwrap().name(), name);
    }
}

#[test]
fn a_study_can_be_restricted_to_one_plugin_or_given_one() {
    let text = "model.id = \"gpt2\"\n[plugin.alpha]\n[plugin.beta]\n[sweep]\n\"alpha.engine.seqs\" = [1, 2]\n\"beta.engine.batch\" = [1, 2, 4]";
    let expansion = |id: &str| {
        let study = parse(text, "s").unwrap().with_plugin(id);
        super::expand(
            &study,
            &super::schemas(),
            &super::Facts::default(),
            &mut super::no_code_rules,
        )
        .unwrap()
    };
    assert_eq!((expansion("alpha").experiments.len(), expansion("beta").experiments.len()), (2, 3));
    let none = parse("model.id = \"gpt2\"", "s").unwrap();
    assert!(
        super::expand(
            &none,
            &super::schemas(),
            &super::Facts::default(),
            &mut super::no_code_rules
        )
        .is_err()
    );
    let given = super::expand(
        &none.with_plugin("beta"),
        &super::schemas(),
        &super::Facts::default(),
        &mut super::no_code_rules,
    );
    assert_eq!(given.unwrap().experiments.len(), 1);
}

#[test]
fn every_model_that_facts_are_wanted_of_is_named() {
    let text = "model.id = \"a\"\n[plugin.alpha]\n[sweep]\n\"model.id\" = [\"b\", \"c\"]\n[[experiment]]\n\"model.id\" = \"d\"";
    assert_eq!(parse(text, "s").unwrap().model_ids(), ["a", "b", "c", "d"]);
}
