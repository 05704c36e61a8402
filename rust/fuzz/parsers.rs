//! libFuzzer on one parser: the one that `OUTRIDER_FUZZ_TARGET` names; `fuzzing/mod.rs` of the core lists them.
#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<String> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let target = TARGET.get_or_init(|| std::env::var("OUTRIDER_FUZZ_TARGET").expect("OUTRIDER_FUZZ_TARGET names a target"));
    outrider_core::fuzzing::run(target, bytes);
});
