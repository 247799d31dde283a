//! See `bodies/results.rs`, which the tests run on damaged files, too.
#![no_main]

#[path = "../bodies/results.rs"]
mod body;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| body::check(text));
