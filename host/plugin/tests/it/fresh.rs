//! The committed components are built from the sources beside them.

use std::path::Path;

#[test]
fn no_committed_component_is_stale() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let stale = xtask::fresh::stale(root).unwrap();
    assert!(stale.is_empty(), "{}\nhint: {}", stale.join("\n"), xtask::fresh::MEND);
}
