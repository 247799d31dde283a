//! Any text as a campaign file and, where it is one, the list of its runs.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use md_driver::config;
use md_driver::plan::plan;

fuzz_target!(|text: &str| {
    // The files of both folders name structures relative to themselves.
    let folder =
        if text.contains("../../../") { "../tests/cases/bad/fuzz.toml" } else { "../configs/fuzz.toml" };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    match config::parse(text, &path, &[], &config::Own::default()) {
        Ok(config) => drop(plan(&config)),
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 16_000 && !message.contains('\n'), "{message:?}");
        }
    }
});
