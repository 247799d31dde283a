//! The program `mdproof`: maps arguments to text and an exit status. `commands` has one module per command, `render`
//! the output shared by several commands.
//!
//! This crate contains no measurements, dynamics or criteria. Other programs should use `md_driver`.

mod arguments;
pub mod bars;
mod commands;
pub mod exit;
mod interrupt;
mod output;
pub mod render;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};

use clap::{Parser, Subcommand};

use bars::Bars;
use commands::{bench, compare, doctor, evaluate, frames, merge, report, status, train, validate, verdict};
use md_driver::in_full;
use output::StandardOutput;

/// May this machine-learned force field run production molecular dynamics?
#[derive(Parser)]
#[command(name = "mdproof", version, max_term_width = 110, after_help = exit::TABLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a campaign and judge its models.
    Validate(validate::Validate),
    /// Energy and force errors of a model on labelled frames.
    Evaluate(evaluate::Evaluate),
    /// Time per call, time per NVE step and memory of models.
    Bench(bench::Bench),
    /// Join the shards of a campaign that were run with `validate --shard`.
    Merge(merge::Merge),
    /// Judge a results file again, from that file alone.
    Verdict(verdict::Verdict),
    /// Take frames that models visited in a campaign, to be labelled by a reference program.
    Frames(frames::Frames),
    /// What people read of a campaign: report.html, report.md, junit.xml, plots.
    Report(report::Report),
    /// What changed between two results.
    Compare(compare::Compare),
    /// How far a running or stopped campaign is.
    Status(status::Status),
    /// Train a student on labelled frames.
    Train(train::Train),
    /// What this machine can do, and whether a campaign is ready to run.
    Doctor(doctor::Doctor),
}

/// Runs the program with these arguments (the first is its name) and returns the exit status.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut (impl Write + IsTerminal),
    err: &mut (impl Write + IsTerminal),
) -> u8 {
    interrupt::survive_limit_on_files();
    log_to_stderr(err.is_terminal());
    let colour = out.is_terminal();
    let bars = if err.is_terminal() { Bars::Drawn } else { Bars::Lines };
    run_with(arguments, out, err, colour, bars)
}

/// Does the same as [`run`] for any writer, without a log and with the given colour and progress display.
pub fn run_with(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    colour: bool,
    bars: Bars,
) -> u8 {
    let mut standard_output = StandardOutput::new(out);
    let out: &mut dyn Write = &mut standard_output;
    let done = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => dispatch(arguments.command, out, colour, bars),
        Err(message) => {
            let text =
                if colour { message.render().ansi().to_string() } else { message.render().to_string() };
            if message.use_stderr() {
                // There is no fallback if this message cannot be written.
                let _ = err.write_all(text.as_bytes());
                return exit::BAD_INPUT;
            }
            out.write_all(text.as_bytes()).map(|()| exit::AS_EXPECTED).map_err(Into::into)
        }
    };
    let done = done.and_then(|status| {
        out.flush()?;
        Ok(status)
    });
    done.unwrap_or_else(|error| {
        // There is no fallback if this message cannot be written.
        let lines: Vec<String> = in_full(error.as_ref()).lines().map(md_results::plain).collect();
        let _ = writeln!(err, "error: {}", lines.join("\n"));
        exit::status_of(&error)
    })
}

fn dispatch(command: Command, out: &mut dyn Write, colour: bool, bars: Bars) -> anyhow::Result<u8> {
    match command {
        Command::Validate(a) => validate::run(&a, out, colour, bars),
        Command::Merge(a) => merge::run(&a, out, colour, bars),
        Command::Evaluate(a) => evaluate::run(&a, out, bars),
        Command::Bench(a) => bench::run(&a, out, bars),
        Command::Verdict(a) => verdict::run(&a, out, colour),
        Command::Frames(a) => frames::run(&a, out),
        Command::Report(a) => report::run(&a, out),
        Command::Compare(a) => compare::run(&a, out),
        Command::Status(a) => status::run(&a, out),
        Command::Train(a) => train::run(&a, out, bars),
        Command::Doctor(a) => doctor::run(&a, out, colour, bars),
    }
}

fn log_to_stderr(ansi: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MDPROOF_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,md_dynamics=warn"));
    // A second subscriber (in tests) is rejected, which is harmless.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would report a failed write to stderr by eprintln!, which panics if stderr cannot be written.
        .log_internal_errors(false)
        .with_ansi(ansi)
        .with_target(false)
        .without_time()
        .try_init();
}
