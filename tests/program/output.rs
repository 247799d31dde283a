//! Standard error that cannot be written.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::resume::ARGUMENTS;
use crate::support::repository;

/// A failed write to stderr neither ends the program nor changes its exit status.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "there is no /dev/full")]
fn evaluate_survives_full_stderr() {
    let checkpoint = repository("data/checkpoints/ultra-tiny");
    let frames = repository("data/dft/water.extxyz.gz");
    let arguments = ["mdproof", "evaluate", checkpoint.to_str().unwrap(), frames.to_str().unwrap()];
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["resume::subprocess_entry_point", "--exact", "--nocapture"])
        .env(ARGUMENTS, arguments.join("\n"))
        .stdin(Stdio::null())
        .stderr(File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains("force RMSE"), "{stdout}");
}
