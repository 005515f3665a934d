//! Values as a plugin may send them: converted without panic, and what is accepted comes back as it went.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| llem_plugin::fuzzing::values(input));
