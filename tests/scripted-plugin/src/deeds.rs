//! Deeds that no reply can express.

use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;

use crate::wit::{
    exports::llem::backend::params::{DefaultValue, Schema},
    llem::backend::{host, types::Value},
};

/// What is done, and in which function.
#[derive(Deserialize)]
pub(crate) struct Deed {
    pub(crate) function: String,
    pub(crate) what: String,
}

static CALLS: AtomicU32 = AtomicU32::new(0);

/// How often this instance was asked for it.
pub(crate) fn calls() -> u32 {
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Does the deed.
pub(crate) fn commit(what: &str) {
    match what {
        "spin" => loop {
            std::hint::black_box(());
        },
        "trap" => panic!("as asked"),
        "recurse" => drop(recurse(1)),
        "hoard" => drop(std::hint::black_box(vec![1_u8; 512 << 20])),
        "chatter" => loop {
            host::log(host::Level::Warn, "again");
        },
        "escape" => host::log(host::Level::Warn, "red \u{1b}[31m, \u{202e}turned, \u{9b}2J\r\n"),
        _ => {}
    }
}

/// Makes the schema larger than any host should take.
pub(crate) fn grow(schema: &mut Schema) {
    let Some(one) = schema.parameters.first().cloned() else { return };
    match one.doc.as_str() {
        "a million" => {
            // Without documentation, so that memory holds them and the host has to count.
            let small = |number: u32| {
                let mut parameter = one.clone();
                parameter.path = format!("engine.p{number}");
                parameter.doc = String::new();
                parameter
            };
            schema.parameters.extend((0..1_000_000).map(small));
        }
        "ten thousand" => {
            for number in 0..10_000_u32 {
                let mut parameter = one.clone();
                parameter.path = format!("engine.p{number}");
                parameter.doc = String::new();
                schema.parameters.push(parameter);
            }
        }
        "twice" => schema.parameters.push(one),
        "no number" => {
            schema.parameters[0].default = DefaultValue::Fixed(Value::Number(f64::NAN));
        }
        "no text" => {
            #[expect(unsafe_code, reason = "the deed")]
            // SAFETY: none. The text leaves for the host at once, which has to see that it is none.
            let doc = unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xc0]) };
            schema.parameters[0].doc = doc;
        }
        "huge" => schema.parameters[0].doc = "x".repeat(16 << 20),
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "the deed")]
fn recurse(depth: u64) -> u64 {
    std::hint::black_box(depth) + recurse(depth + 1)
}
