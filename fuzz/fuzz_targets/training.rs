//! Any text as a training file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use md_train::TrainingConfig;

fuzz_target!(|text: &str| {
    if let Err(error) = TrainingConfig::parse(text, "train.toml".as_ref()) {
        assert!(error.to_string().len() < 16_000);
    }
});
