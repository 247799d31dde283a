//! The command line.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use md_core::System;
use md_io::extxyz::LabelKeys;
use md_io::results::{self, Performance, Results};
use md_model::Precision;

use crate::config::{Device, Implementation, ModelArgument, ModelConfig, ModelSource};
use crate::dashboard;
use crate::progress::Progress;
use crate::{doctor, evaluate, exit, frames, in_full, models, reports, speed, train, validate, verdict};

/// Folder of all output folders that nobody named.
pub(crate) const OUTPUT: &str = "mdproof-out";

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
    Evaluate(Evaluate),
    /// Time per call, time per NVE step and memory of models.
    Bench(Bench),
    /// Join the shares of a campaign that were run with `validate --shard`.
    Merge(validate::Merge),
    /// Judge a results file again, from that file alone.
    Verdict(VerdictArguments),
    /// Take frames that models visited in a campaign, to be labelled by a reference program.
    Frames(Frames),
    /// What people read of a campaign: report.html, report.md, junit.xml, plots.
    Report(reports::Report),
    /// What changed between two results.
    Compare(reports::Compare),
    /// How far a running or stopped campaign is.
    Status(reports::Status),
    /// Train a student on labelled frames.
    Train(train::Train),
    /// What this machine can do, and whether a campaign is ready to run.
    Doctor(doctor::Doctor),
}

#[derive(Args)]
struct Evaluate {
    /// Checkpoint: a folder, a .safetensors or a .pt file; FILE#KEY for one of several sets of weights in it.
    checkpoint: PathBuf,
    /// Labelled frames (extended XYZ, plain or gzip).
    #[arg(required = true)]
    frames: Vec<PathBuf>,
    /// Print JSON: an object for one file, an array for several.
    #[arg(long)]
    json: bool,
    /// Print a table in Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Key of the energy (eV) in the comment line.
    #[arg(long, default_value = "energy")]
    energy_key: String,
    /// Column of the forces (eV/Å).
    #[arg(long, default_value = "forces")]
    forces_key: String,
    /// Floating-point format: f32 or f64.
    #[arg(long, default_value = "f64", value_parser = parse_precision)]
    precision: Precision,
}

#[derive(Args)]
struct Bench {
    /// Models; the first is what the others are compared with.
    #[arg(long, value_name = "NAME=CHECKPOINT", required = true)]
    model: Vec<ModelArgument>,
    /// Structures (extended XYZ; the file's name is the molecule's).
    #[arg(required = true)]
    structures: Vec<PathBuf>,
    /// Floating-point format: f32 or f64.
    #[arg(long, default_value = "f32", value_parser = parse_precision)]
    precision: Precision,
    /// Implementations of each model.
    #[arg(long, value_delimiter = ',', default_value = "fast", value_name = "NAME,...")]
    implementation: Vec<Implementation>,
    /// Where `fast` is computed.
    #[arg(long, default_value = "cpu")]
    device: Device,
    /// Replicas of a molecule in lock step.
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N,...", value_parser = parse_count)]
    batch: Vec<usize>,
    /// Threads for batches [default: all cores].
    #[arg(long, value_name = "N", value_parser = parse_count)]
    threads: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Folder for md_performance_results.json and plots (SVG).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Every frame is written with the model's own energy and forces. Replace them by those of a reference program
/// (in ASE: read, attach a calculator, write), keep the comment lines, and give the file to `mdproof validate
/// --labels`.
#[derive(Args)]
struct Frames {
    /// Output folder of `mdproof validate`.
    results: PathBuf,
    /// File to write (extended XYZ).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only frames of this model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only frames of this molecule.
    #[arg(long, value_name = "NAME")]
    molecule: Option<String>,
}

#[derive(Args)]
struct VerdictArguments {
    /// A results.json.
    results: PathBuf,
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f64" => Ok(Precision::F64),
        _ => Err("expected f32 or f64".to_owned()),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a number of at least 1".to_owned())
}

/// Runs the program with these arguments (the first is its name) and returns the exit status.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut (impl Write + IsTerminal),
    err: &mut (impl Write + IsTerminal),
) -> u8 {
    log_to_stderr(err.is_terminal());
    let colour = out.is_terminal();
    let bars = if err.is_terminal() { Progress::Bars } else { Progress::Lines };
    run_with(arguments, out, err, colour, bars)
}

/// [`run`] for any writer: no log, colour and progress as told.
pub fn run_with(
    arguments: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    colour: bool,
    progress: Progress,
) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(message) => {
            let text =
                if colour { message.render().ansi().to_string() } else { message.render().to_string() };
            let written = if message.use_stderr() {
                err.write_all(text.as_bytes())
            } else {
                out.write_all(text.as_bytes())
            };
            return match (message.use_stderr(), written) {
                (false, Ok(())) => 0,
                _ => exit::BAD_INPUT,
            };
        }
    };
    let done = match arguments.command {
        Command::Validate(a) => validate::validate(&a, out, colour, progress),
        Command::Merge(a) => validate::merge(&a, out, colour, progress),
        Command::Evaluate(a) => run_evaluate(&a, out, progress),
        Command::Bench(a) => bench(&a, out, progress),
        Command::Verdict(a) => judge_again(&a, out, colour),
        Command::Frames(a) => take_frames(&a, out),
        Command::Report(a) => reports::report(&a, out),
        Command::Compare(a) => reports::compare(&a, out),
        Command::Status(a) => reports::status(&a, out),
        Command::Train(a) => train::train(&a, out, progress),
        Command::Doctor(a) => doctor::doctor(&a, out, colour, progress),
    };
    done.unwrap_or_else(|error| {
        // Nothing is left to do when even this cannot be written.
        let _ = writeln!(err, "error: {}", in_full(&error));
        exit::status_of(&error)
    })
}

fn take_frames(a: &Frames, out: &mut dyn Write) -> Result<u8> {
    let from = a.results.join(frames::FILE);
    let n = frames::select(&from, &a.out, a.model.as_deref(), a.molecule.as_deref())?;
    writeln!(out, "{n} frames: {}", a.out.display())?;
    Ok(0)
}

fn judge_again(a: &VerdictArguments, out: &mut dyn Write, colour: bool) -> Result<u8> {
    let mut results = Results::read(&a.results)?;
    verdict::judge(&mut results);
    write!(out, "{}", dashboard::render(&results, colour))?;
    Ok(verdict::outcome(&results).exit_status())
}

fn run_evaluate(a: &Evaluate, out: &mut dyn Write, progress: Progress) -> Result<u8> {
    let name = stem(&a.checkpoint);
    let mut model = load_model(
        &ModelArgument { name: name.clone(), checkpoint: a.checkpoint.clone() },
        a.precision,
        (Implementation::Fast, Device::Cpu),
        &[],
    )?;
    let keys =
        LabelKeys { energy: a.energy_key.clone(), forces: a.forces_key.clone(), ..LabelKeys::default() };
    let mut evaluations = Vec::new();
    for frames in &a.frames {
        let ticker = progress.stage(&stem(frames), 0);
        let source = evaluate::Source { model: &name, molecule: None, frames };
        let (evaluation, _) = evaluate::evaluate(source, model.potential.as_mut(), &keys, || ticker.tick())?;
        evaluations.push(evaluation);
    }
    if a.json {
        match evaluations.as_slice() {
            [one] => serde_json::to_writer_pretty(&mut *out, one)?,
            several => serde_json::to_writer_pretty(&mut *out, several)?,
        }
        writeln!(out)?;
    } else if a.markdown {
        write!(out, "{}", evaluate::render_markdown(&evaluations))?;
    } else {
        let texts: Vec<String> = evaluations.iter().map(evaluate::render).collect();
        write!(out, "{}", texts.join("\n"))?;
    }
    Ok(0)
}

fn bench(a: &Bench, out: &mut dyn Write, progress: Progress) -> Result<u8> {
    let mut molecules: Vec<(String, System)> = Vec::new();
    for path in &a.structures {
        molecules.push((stem(path), md_io::extxyz::read_system(path)?));
    }
    let named: Vec<(&str, &System)> =
        molecules.iter().map(|(name, system)| (name.as_str(), system)).collect();
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = a.threads {
        pool = pool.num_threads(threads);
    }
    let performance = pool.build()?.install(|| -> Result<Performance> {
        let mut rows = Vec::new();
        for argument in &a.model {
            let measured = molecules.len() * a.batch.len() * a.implementation.len();
            let ticker = progress.stage(&argument.name, measured as u64);
            for &implementation in &a.implementation {
                let mut model = load_model(argument, a.precision, (implementation, a.device), &named)?;
                for (name, system) in &molecules {
                    for &batch in &a.batch {
                        rows.push(speed::measure(&mut model, name, system, batch)?);
                        ticker.tick();
                    }
                }
            }
        }
        speed::relate(&mut rows, &a.model[0].name);
        let machine = speed::machine();
        speed::relate_to_machine(&mut rows, &machine);
        Ok(Performance { machine, speed: rows })
    })?;
    if let Some(folder) = &a.out {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        results::write_json(&folder.join("md_performance_results.json"), &performance)?;
        for plot in md_report::performance(&performance)? {
            let file = folder.join(plot.name);
            std::fs::write(&file, plot.svg).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    if a.json {
        serde_json::to_writer_pretty(&mut *out, &performance)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", speed::render(&performance))?;
    }
    Ok(0)
}

fn load_model(
    argument: &ModelArgument,
    precision: Precision,
    (implementation, device): (Implementation, Device),
    molecules: &[(&str, &System)],
) -> Result<models::LoadedModel> {
    let config = ModelConfig {
        name: argument.name.clone(),
        source: ModelSource::Checkpoint(argument.checkpoint.clone()),
        precision,
        implementation,
        device,
        expect: results::Verdict::Approved,
    };
    models::load(&config, molecules)?.context("the checkpoint was not loaded")
}

/// The name of a file or folder without its ending.
fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| path.display().to_string(), |s| s.to_string_lossy().into_owned())
}

fn log_to_stderr(ansi: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MDPROOF_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,md_dynamics=warn"));
    // A second subscriber (in tests) is refused, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .without_time()
        .try_init();
}
