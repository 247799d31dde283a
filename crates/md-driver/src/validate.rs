//! `mdproof validate` and `mdproof merge`: a campaign, in one go, in several, or in shares.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use md_io::results::Results;

use crate::campaign::{self, Begin, Campaign, Halt, Request};
use crate::cli::OUTPUT;
use crate::config::{self, Device, ModelArgument};
use crate::plan::{Filter, Shard};
use crate::progress::Progress;
use crate::verdict;
use crate::{dashboard, doctor, exit, interrupt, reports};

#[derive(Args)]
pub struct Validate {
    /// Campaign file (TOML).
    config: PathBuf,
    /// Folder for what is measured; must not hold results yet [default: mdproof-out/NAME-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the campaign where it was stopped, in --out or else in the folder it began in last; begin it if it has
    /// not begun.
    #[arg(long)]
    resume: bool,
    /// Begin anew beside results that --out holds.
    #[arg(long, conflicts_with = "resume")]
    force_new: bool,
    /// Run the I-th of N shares of the plan; `mdproof merge` joins them.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Say what would be run, and about how much time, memory and disk it takes.
    #[arg(long, conflicts_with_all = ["resume", "force_new"])]
    dry_run: bool,
    /// Report models and molecules that cannot be read, and run the others.
    #[arg(long)]
    keep_going: bool,
    /// Keep the runs in progress every so many seconds [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    save_every: Option<Duration>,
    /// Add a model, or replace the one of that name.
    #[arg(long, value_name = "NAME=CHECKPOINT")]
    model: Vec<ModelArgument>,
    /// Where models are computed [default: what the campaign says, or the processor].
    #[arg(long)]
    device: Option<Device>,
    /// Run only what matches: model=NAME, molecule=NAME, temperature_K=NUMBER, replica=NUMBER.
    #[arg(long, value_name = "KEY=VALUE")]
    only: Vec<Filter>,
    /// Frames of `mdproof frames` with the energies (eV) and forces (eV/Å) of a reference program: the error of the
    /// models where their own runs went.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Print the results file instead of the dashboard.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Args)]
pub struct Merge {
    /// Output folders of `mdproof validate --shard I/N`, every share once.
    #[arg(required = true)]
    shards: Vec<PathBuf>,
    /// Folder for the results of the whole campaign.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the results file instead of the dashboard.
    #[arg(long)]
    json: bool,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "expected a number of seconds, such as 30 or 0.5".to_owned())
}

/// Runs `mdproof validate`.
///
/// # Errors
/// Bad input, and what was measured cannot be kept.
pub fn validate(a: &Validate, out: &mut dyn Write, colour: bool, progress: Progress) -> Result<u8> {
    let mut config = config::load(&a.config, &a.model)?;
    config.use_device(a.device);
    let request = Request {
        config_file: &a.config,
        models: &a.model,
        device: a.device,
        only: &a.only,
        labels: a.labels.as_deref(),
        shard: a.shard,
        keep_going: a.keep_going,
        save_every: a.save_every.unwrap_or(campaign::SAVE_EVERY),
    };
    let latest = || Campaign::latest(Path::new(OUTPUT), &config.name).filter(|_| a.resume);
    let folder = a.out.clone().or_else(latest).unwrap_or_else(|| {
        Path::new(OUTPUT).join(format!("{}-{}", config.name, crate::provenance::now().replace(':', "")))
    });
    let progress = if a.quiet { Progress::Quiet } else { progress };
    if a.dry_run {
        let free_mib = doctor::free_mib(&folder);
        write!(out, "{}", campaign::forecast(&config, &request, progress)?.render(free_mib))?;
        return Ok(0);
    }
    let begin = match (a.resume, a.force_new) {
        (true, _) => Begin::Resume,
        (false, true) => Begin::Beside,
        (false, false) => Begin::New,
    };
    let campaign = Campaign::open(&config, &request, &folder, begin)?;
    let folder = campaign.out.clone();
    let go_on = format!("go on with the same command and --out {} --resume", folder.display());
    let ran = interruptible(&folder, &go_on, out, || campaign::run(&request, campaign, progress))?;
    let Some(results) = ran else { return Ok(exit::INTERRUPTED) };
    if let Some(shard) = a.shard {
        let shares = folder.display();
        writeln!(
            out,
            "share {shard}: {} runs in {shares}; when all shares are there: mdproof merge DIR... --out DIR",
            results.runs.len()
        )?;
        return Ok(0);
    }
    conclude(&results, &folder, a.json, out, colour)
}

/// Writes the reports of a campaign, and says what came of it.
fn conclude(results: &Results, folder: &Path, json: bool, out: &mut dyn Write, colour: bool) -> Result<u8> {
    reports::write(results, folder).with_context(|| {
        let folder = folder.display();
        format!(
            "the results are complete in {folder}, the reports are not: mdproof report {folder} writes them"
        )
    })?;
    let file = folder.join(campaign::RESULTS);
    if json {
        out.write_all(&std::fs::read(&file)?)?;
    } else {
        let report = folder.join(reports::HTML);
        let dashboard = dashboard::render(results, colour);
        writeln!(out, "{dashboard}results: {}\nreport: {}", file.display(), report.display())?;
    }
    Ok(verdict::outcome(results).exit_status())
}

/// Runs `mdproof merge`.
///
/// # Errors
/// Shares that cannot be joined, and what was measured cannot be kept.
pub fn merge(a: &Merge, out: &mut dyn Write, colour: bool, progress: Progress) -> Result<u8> {
    let progress = if a.quiet { Progress::Quiet } else { progress };
    let go_on = "go on with the same command";
    let ran = interruptible(&a.out, go_on, out, || campaign::merge(&a.shards, &a.out, progress))?;
    let Some(results) = ran else { return Ok(exit::INTERRUPTED) };
    conclude(&results, &a.out, a.json, out, colour)
}

/// A campaign whose results are kept in `folder` as they come. `None` when it was interrupted; how to go on is said.
fn interruptible(
    folder: &Path,
    go_on: &str,
    out: &mut dyn Write,
    campaign: impl FnOnce() -> Result<Results>,
) -> Result<Option<Results>> {
    interrupt::listen()?;
    let interrupted = format!("interrupted: what was measured is kept in {}: {go_on}", folder.display());
    let guard = interrupt::may_end_anywhere(exit::INTERRUPTED, interrupted.clone());
    let ran = campaign();
    drop(guard);
    match ran {
        Ok(results) => Ok(Some(results)),
        Err(error) => match error.downcast_ref::<Halt>() {
            Some(Halt::Interrupted) => {
                writeln!(out, "{interrupted}")?;
                Ok(None)
            }
            Some(Halt::Storage(_)) => Err(error.context(format!(
                "what was measured until now is kept in {}: make room, then {go_on}",
                folder.display()
            ))),
            None => Err(error),
        },
    }
}
