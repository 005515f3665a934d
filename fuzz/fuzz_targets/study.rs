//! Texts of study files: parsed without panic, and what is accepted is accepted again as it is written out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llem_core::study::parse;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match parse(text, "study.toml") {
        Ok(study) => assert_eq!(study.text(), text),
        Err(problems) => assert!(!problems.is_empty(), "a refusal says why"),
    }
});
