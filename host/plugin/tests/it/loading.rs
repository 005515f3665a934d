//! What is refused before anything of it runs.

use std::fs;

use llem_plugin::{Cache, LoadError, Origin, Plugin, Registry};

use crate::{cache, registry};

const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn refusal(bytes: &[u8]) -> String {
    Plugin::load("x", Origin::Bundled, bytes, &Cache::none())
        .expect_err("it is refused")
        .to_string()
}

/// A component that imports an empty instance of a name.
fn importing(name: &str) -> Vec<u8> {
    let mut bytes = EMPTY_COMPONENT.to_vec();
    bytes.extend([0x07, 3, 1, 0x42, 0]);
    let length = u8::try_from(name.len()).expect("names are short");
    bytes.extend([0x0a, length + 5, 1, 0, length]);
    bytes.extend(name.as_bytes());
    bytes.extend([0x05, 0]);
    bytes
}

#[test]
fn what_is_no_component_is_refused_as_such() {
    for bytes in [&b"hello"[..], EMPTY_MODULE, &EMPTY_COMPONENT[..6], b""] {
        let message = refusal(bytes);
        assert!(message.starts_with("plugin `x` is no WebAssembly component: "), "{message}");
    }
}

#[test]
fn compiled_code_is_taken_from_nobody() {
    let engine = wasmtime::Engine::default();
    let code = engine.precompile_component(EMPTY_COMPONENT).unwrap();
    assert!(refusal(&code).contains("compiled code is taken from nobody"), "{}", refusal(&code));
}

#[test]
fn a_component_that_exports_nothing_is_told_what_it_lacks() {
    let message = refusal(EMPTY_COMPONENT);
    assert!(
        message.contains("does not export `llem:backend@0.1`; it exports nothing: "),
        "{message}"
    );
}

#[test]
fn an_import_that_no_plugin_gets_is_named() {
    let message = refusal(&importing("wasi:http/types@0.2.0"));
    assert!(message.contains("imports `wasi:http/types@0.2.0`"), "{message}");
}

#[test]
fn wasi_is_linked_for_a_component_that_asks_for_it() {
    let message = refusal(&importing("wasi:io/poll@0.2.0"));
    assert!(message.contains("does not export `llem:backend@0.1`"), "{message}");
}

#[test]
fn an_unknown_name_lists_what_there_is() {
    let message = registry().load("vlm").expect_err("it is refused").to_string();
    assert!(message.starts_with("found no plugin `vlm`; there are `candle`"), "{message}");
}

#[test]
fn a_file_in_the_override_folder_hides_the_bundled_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("candle.wasm");
    fs::write(&file, include_bytes!("../hostile.wasm")).unwrap();
    let registry = Registry::new(Some(folder.path().to_owned()), cache());
    assert_eq!(registry.list()[0], ("candle".to_owned(), Origin::Override(file)));
    assert_eq!(registry.load("candle").unwrap().describe().unwrap().id, "hostile");
}

#[test]
fn an_override_folder_that_is_not_there_is_an_error_and_no_silent_fallback() {
    let registry = Registry::new(Some("/nowhere".into()), cache());
    assert_eq!(
        registry.load("candle").expect_err("it is refused").to_string(),
        "failed to read plugin `/nowhere`"
    );
}

#[test]
fn a_missing_or_oversized_file_is_named() {
    let error = registry().load("/nowhere/x.wasm").unwrap_err();
    assert_eq!(error.to_string(), "failed to read plugin `/nowhere/x.wasm`");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("big.wasm");
    fs::File::create(&file).unwrap().set_len(33 << 20).unwrap();
    assert!(matches!(registry().load(file.to_str().unwrap()), Err(LoadError::TooLarge { .. })));
}
