//! Line coverage of the crates that a verdict rests on.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Crates, and the least part of their lines (%) that their tests cover: what was measured, rounded down. It does not
/// shrink.
const LEAST: [(&str, f64); 6] = [
    ("md-core", 93.0),
    ("md-dynamics", 94.0),
    ("md-metrics", 98.0),
    ("md-io", 98.0),
    ("md-criteria", 95.0),
    ("md-results", 93.0),
];

/// The command that measures coverage, to which the caller adds where its report goes. cargo-tarpaulin reads the
/// profiles of the compiler itself and does not count tests as covered lines.
pub(crate) fn measure(command: &mut Command, folder: &Path) -> Result<()> {
    command.args(["tarpaulin", "--engine", "llvm", "--no-dead-code", "--skip-clean", "--timeout", "1800"]);
    command.args(["--out", "Json", "--output-dir"]).arg(folder).arg("--target-dir").arg(folder.join("build"));
    for (name, _) in LEAST {
        command.args(["--package", name]);
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

/// Returns the covered lines of each crate as a table.
///
/// # Errors
/// A report that cannot be read; a crate with less than its least coverage.
pub(crate) fn table(folder: &Path) -> Result<String> {
    let file = folder.join("tarpaulin-report.json");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let lines = lines(&serde_json::from_str(&text)?);
    let mut table = String::new();
    let mut less = Vec::new();
    for (name, least) in LEAST {
        let [covered, all] = lines.get(name).copied().unwrap_or_default();
        let percent = if all == 0 { 0.0 } else { 100.0 * covered as f64 / all as f64 };
        table += &format!("{name:12} {covered:4} of {all:4} lines, {percent:.1} % (at least {least} %)\n");
        if percent < least {
            less.push(name);
        }
    }
    if !less.is_empty() {
        bail!("{table}less than the least coverage: {}", less.join(", "));
    }
    Ok(table)
}

/// Returns the covered lines and all lines of each crate, without files of tests.
fn lines(report: &Value) -> BTreeMap<String, [u64; 2]> {
    let mut lines: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for file in report["files"].as_array().into_iter().flatten() {
        let parts: Vec<&str> =
            file["path"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let Some(at) = parts.iter().rposition(|part| *part == "crates") else { continue };
        let [name, "src", inside @ ..] = &parts[at + 1..] else { continue };
        if inside.iter().any(|part| *part == "tests" || *part == "tests.rs") {
            continue;
        }
        let entry = lines.entry((*name).to_owned()).or_default();
        for (sum, key) in entry.iter_mut().zip(["covered", "coverable"]) {
            *sum += file[key].as_u64().unwrap_or_default();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_summed_by_crate_without_tests() {
        let file = |path: &str, covered: u64| {
            let path: Vec<&str> = path.split('/').collect();
            json!({ "path": path, "covered": covered, "coverable": 10 })
        };
        let report = json!({ "files": [
            file("/home/crates/w/crates/md-io/src/lib.rs", 7),
            file("/home/crates/w/crates/md-io/src/journal/tests.rs", 10),
            file("/home/crates/w/crates/md-io/src/extxyz/reader.rs", 9),
            file("/home/crates/w/crates/md-io/tests/io/main.rs", 10),
            file("/home/crates/w/xtask/src/main.rs", 1),
        ] });
        assert_eq!(lines(&report), BTreeMap::from([("md-io".to_owned(), [16, 20])]));
    }
}
