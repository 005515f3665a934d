//! The built-in plugins keep the contract.

use std::path::Path;

use llem_conformance::check;
use llem_plugin::{Cache, Registry};

#[test]
fn the_built_in_plugins_keep_the_contract() {
    let cache = Cache::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cwasm"));
    let registry = Registry::new(None, cache);
    for (name, _) in registry.list() {
        let report = check(&registry.load(&name).expect("it is built in"));
        assert!(report.passed, "{}", report.text());
        assert!(report.tried["plans"] > 10 && report.tried["outputs"] > 20, "{report:?}");
    }
}
