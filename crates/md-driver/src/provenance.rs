//! Information about the program, the machine and the time.

use std::time::SystemTime;

use md_results::Provenance;

/// Returns the provenance of this process.
pub fn provenance() -> Provenance {
    Provenance {
        mdproof_version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit: option_env!("MDPROOF_GIT_COMMIT").map(str::to_owned),
        cpu: cpu_model(),
        threads: rayon::current_num_threads(),
        device_requested: "cpu".to_owned(),
        device_used: "cpu".to_owned(),
    }
}

/// Returns the current time, RFC 3339, UTC, to the second.
#[expect(clippy::disallowed_methods, reason = "a results file says when it was made")]
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Returns the name of the CPU, where known.
pub fn cpu_model() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
