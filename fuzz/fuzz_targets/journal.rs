//! Bytes of a journal, whole or torn: read without panic, and what is whole is a begin of what was given.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llem_core::{
    journal::{line, lines},
    record::Record,
};

fuzz_target!(|input: &[u8]| {
    // Damaged as it is; then with checksums that fit, so that what is behind them is reached.
    let _ = lines(input);
    let mut sound = String::new();
    for text in String::from_utf8_lossy(input).lines() {
        sound += &line(text);
    }
    let (entries, whole) = lines(sound.as_bytes()).expect("all checksums fit");
    assert_eq!(whole, sound.len());
    for entry in entries {
        let _ = serde_json::from_slice::<Record>(entry);
    }
    let torn = &sound.as_bytes()[..sound.len().saturating_sub(1)];
    let (_, whole) = lines(torn).expect("only the end is missing");
    assert!(whole <= torn.len());
});
