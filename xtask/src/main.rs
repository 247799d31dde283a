//! `cargo xtask validate`, `cargo xtask test`, `cargo xtask acceptance`, ...: the commands of this repository.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to a terminal")]

mod cards;
mod coverage;
mod tidy;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The commands of this repository")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build mdproof (release) and run `mdproof validate`, on configs/m6.toml unless a campaign file is given.
    Validate {
        /// `CONFIG` (optional) and options of `mdproof validate`, in any order.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Everything a change must pass: format, clippy, tidy, tests, doctests, docs.
    Test,
    /// What is too long for every change: all damaged models and campaigns that ask too little, with a table of what names each.
    Acceptance,
    /// Measure the line coverage of the crates that a verdict rests on (by cargo-tarpaulin); it must not shrink.
    Coverage,
    /// Write the snapshots of what people read anew; the diff shows what changed.
    Snapshots,
    /// Write the model card of every student in data/checkpoints, errors measured anew.
    Cards,
    /// What the compiler cannot check: the crate map, links, leftovers.
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Validate { arguments } => return validate(arguments),
        Task::Test => test(),
        Task::Snapshots => step(
            "snapshots",
            cargo()
                .arg("test")
                .args(SNAPSHOTS.iter().flat_map(|(package, _)| ["--package", *package]))
                .args(FEATURES)
                .arg("--")
                .args(SNAPSHOTS.iter().flat_map(|(_, tests)| *tests))
                .env("INSTA_UPDATE", "always"),
        ),
        Task::Acceptance => step(
            "acceptance",
            cargo().args(["test", "--workspace"]).args(FEATURES).args([
                "--test",
                "acceptance",
                "--",
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ]),
        ),
        Task::Coverage => coverage(),
        Task::Cards => cards::write(&root()),
        Task::Tidy => tidy::check(&root()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the repository that `cargo xtask` was called in: checkouts with a common target folder may share this
/// program.
fn root() -> PathBuf {
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).join("..")
}

fn validate(mut arguments: Vec<OsString>) -> ExitCode {
    if !names_campaign(&arguments) {
        arguments.insert(0, root().join("configs/m6.toml").into_os_string());
    }
    // Not quiet: the first build takes minutes, and cargo shows how far it is.
    let status = mdproof(&[]).arg("validate").args(arguments).status();
    match status.map(|s| s.code()) {
        Ok(Some(code)) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: cargo could not be started: {error}");
            ExitCode::from(2)
        }
    }
}

/// Options of `mdproof validate` that are followed by their value.
const WITH_VALUE: [&str; 7] =
    ["--out", "--shard", "--save-every", "--model", "--device", "--only", "--labels"];

/// Whether one of these arguments of `mdproof validate` is a campaign file: neither an option nor the value of one.
fn names_campaign(arguments: &[OsString]) -> bool {
    let mut is_value = false;
    arguments.iter().any(|argument| {
        let text = argument.to_string_lossy();
        let was_value = std::mem::replace(&mut is_value, WITH_VALUE.contains(&text.as_ref()));
        !was_value && !text.starts_with('-')
    })
}

/// Returns a command that runs the program in release mode, built if necessary; `options` are those of cargo.
fn mdproof(options: &[&str]) -> Command {
    let mut command = cargo();
    command
        .arg("run")
        .args(options)
        .args(["--release", "--package", "mdproof", "--bin", "mdproof", "--manifest-path"])
        .arg(root().join("Cargo.toml"))
        .arg("--");
    command
}

/// Features of every build step: other features would rebuild most of the dependencies. `wgpu` of md-model includes the
/// kernels for GPUs, which also run on Vulkan in software; the program is tested with its default features.
const FEATURES: [&str; 2] = ["--features", "md-model/wgpu"];

/// Packages with snapshots, and what the names of the tests that write them contain.
const SNAPSHOTS: [(&str, &[&str]); 8] = [
    ("md-criteria", &["verdict::tests::"]),
    ("md-driver", &["numbers::", "own::"]),
    ("md-io", &["gzip::tests::"]),
    ("md-model", &["checkpoint_load", "painn_rejects", "student_check", "torch_load"]),
    ("md-report", &["compare::tests::", "markdown::tests::"]),
    ("md-tests", &["snapshot"]),
    ("md-train", &["dataset_errors", "trainer::tests::", "training_config_rejects"]),
    ("mdproof", &["judge::tests::"]),
];

/// Environment variable that makes missing requirements of tests other than Rust (a browser, a Vulkan driver) an error.
const REQUIRE_ALL: &str = "MDPROOF_REQUIRE_ALL";

fn test() -> Result<()> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    step("tidy", cargo().args(["run", "--quiet", "--package", "xtask", "--", "tidy"]))?;
    licences()?;
    let clippy = ["clippy", "--workspace", "--all-targets"];
    step("clippy", cargo().args(clippy).args(FEATURES).args(["--", "-D", "warnings"]))?;
    let (runner, without_kernels): (&[&str], _) = if has_subcommand("nextest") {
        (&["nextest", "run", "--workspace", "--no-fail-fast"], ["--filterset", "not test(device::network)"])
    } else {
        (
            &["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"],
            ["--", "--skip=device::network"],
        )
    };
    let mut tests = cargo();
    // A snapshot that differs fails without being rewritten; `cargo xtask snapshots` rewrites it.
    tests.args(runner).args(FEATURES).env("INSTA_UPDATE", "no");
    if !has_graphics_driver() {
        if std::env::var_os(REQUIRE_ALL).is_some() {
            bail!(
                "there is no Vulkan driver (Debian: apt install mesa-vulkan-drivers), and {REQUIRE_ALL} is set"
            );
        }
        println!("== kernels: SKIPPED, there is no Vulkan driver (Debian: apt install mesa-vulkan-drivers)");
        tests.args(without_kernels);
    }
    step("tests", &mut tests)?;
    step("doctests", cargo().args(["test", "--workspace", "--doc"]).args(FEATURES))?;
    let docs = ["doc", "--workspace", "--no-deps"];
    step("docs", cargo().args(docs).args(FEATURES).env("RUSTDOCFLAGS", "-D warnings"))?;
    // Fuzz targets form their own workspace; only their build is checked here.
    // Most of what clippy has checked is not checked again.
    let check = ["check", "--locked", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"];
    step("fuzz targets", cargo().args(check).arg(target_folder()))
}

fn coverage() -> Result<()> {
    if !has_subcommand("tarpaulin") {
        bail!("there is no cargo-tarpaulin (cargo install --locked cargo-tarpaulin)");
    }
    let folder = target_folder().join("coverage");
    let mut command = cargo();
    coverage::measure(&mut command, &folder)?;
    step("coverage", &mut command)?;
    print!("{}", coverage::table(&folder)?);
    Ok(())
}

/// The target folder of the workspace.
fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Checks licences, versions and sources of the dependencies by deny.toml.
fn licences() -> Result<()> {
    if !has_subcommand("deny") {
        if std::env::var_os(REQUIRE_ALL).is_some() {
            bail!("there is no cargo-deny (cargo install --locked cargo-deny), and {REQUIRE_ALL} is set");
        }
        println!("== licences: SKIPPED, there is no cargo-deny (cargo install --locked cargo-deny)");
        return Ok(());
    }
    let checks = ["licenses", "bans", "sources"];
    let deny = ["deny", "--locked", "check", "-D", "warnings"];
    step("licences", cargo().args(deny).args(checks))?;
    // The fuzz targets build from less: what deny.toml allows beyond that is no fault.
    let fuzz = ["deny", "-L", "error", "--locked", "--manifest-path", "fuzz/Cargo.toml"];
    step("licences of fuzz targets", cargo().args(fuzz).args(["--config", "deny.toml", "check"]).args(checks))
}

/// Whether Vulkan has a driver, or the system has another graphics interface that is always present.
fn has_graphics_driver() -> bool {
    let named = |name: &str| std::env::var_os(name).is_some();
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let any_in = |folder: &&str| std::fs::read_dir(folder).is_ok_and(|mut drivers| drivers.next().is_some());
    !cfg!(target_os = "linux")
        || named("VK_ICD_FILENAMES")
        || named("VK_DRIVER_FILES")
        || folders.iter().any(any_in)
}

#[expect(clippy::disallowed_methods, reason = "how long each step takes is worth knowing")]
fn step(name: &str, command: &mut Command) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    let status =
        command.current_dir(root()).status().with_context(|| format!("{name} could not be started"))?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

/// Whether cargo has this subcommand.
fn has_subcommand(name: &str) -> bool {
    let quiet = cargo().args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|s| s.success())
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_campaign_finds_file_behind_options() {
        for (line, expected) in [
            ("", false),
            ("configs/smoke.toml", true),
            ("--out DIR configs/smoke.toml", true),
            ("--out=DIR configs/smoke.toml --json", true),
            ("--resume configs/smoke.toml", true),
            ("--out DIR", false),
            ("--model a=b --labels frames.xyz --quiet", false),
        ] {
            let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            assert_eq!(names_campaign(&arguments), expected, "{line}");
        }
    }

    #[test]
    fn options_with_value_are_those_of_validate() {
        let help = include_str!("../../tests/program/snapshots/program__snapshots__help.snap");
        let (_, validate) = help.split_once("=== mdproof validate --help").unwrap();
        let (validate, _) = validate.split_once("=== mdproof ").unwrap();
        let mut options: Vec<&str> = validate
            .lines()
            .filter_map(|line| line.trim_start().split_once(" <"))
            .map(|(option, _)| option)
            .filter(|option| option.starts_with("--"))
            .collect();
        let mut known = WITH_VALUE;
        options.sort_unstable();
        known.sort_unstable();
        assert_eq!(options, known);
    }
}
