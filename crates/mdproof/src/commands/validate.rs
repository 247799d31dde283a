//! `mdproof validate`: runs or resumes a campaign, or a shard of one.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use md_driver::campaign::{Begin, Campaign, CampaignOptions, Output, Session};
use md_driver::config::{Config, Device, ModelArgument, Own};
use md_driver::plan::{Filter, Shard};
use md_driver::{CampaignError, provenance};
use md_results::Results;

use super::{doctor, report};
use crate::arguments::{OUTPUT, device, seconds, shown};
use crate::bars::Bars;
use crate::render::{dashboard, forecast};
use crate::{exit, interrupt};

#[derive(Args)]
pub struct Validate {
    /// Campaign file (TOML).
    config: PathBuf,
    /// Folder for what is measured; must not hold results yet [default: mdproof-out/NAME-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue with the campaign where it was stopped, in --out or else in that of mdproof-out in which it began last; begin
    /// it if it has not begun.
    #[arg(long)]
    resume: bool,
    /// Start over beside results that --out holds.
    #[arg(long, conflicts_with = "resume")]
    force_new: bool,
    /// Run the I-th of N shards of the plan; `mdproof merge` joins them.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Say what would be run, and about how much time, memory and disk it takes.
    #[arg(long, conflicts_with_all = ["resume", "force_new"])]
    dry_run: bool,
    /// Report models and molecules that cannot be read, and run the others.
    #[arg(long)]
    keep_going: bool,
    /// Keep the runs in progress every so many seconds [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    save_every: Option<Duration>,
    /// Add a model, or replace the one of that name.
    #[arg(long, value_name = "NAME=CHECKPOINT")]
    model: Vec<ModelArgument>,
    /// Where models are computed [default: what the campaign says, or the CPU].
    #[arg(long, value_parser = device())]
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

/// Runs `mdproof validate`.
///
/// # Errors
/// The input is invalid, or measurements cannot be stored.
pub fn run(a: &Validate, out: &mut dyn Write, colour: bool, bars: Bars) -> Result<u8> {
    interrupt::listen()?;
    let nothing = "interrupted before anything was measured: the same command begins it".to_owned();
    let _guard = interrupt::may_end_anywhere(exit::INTERRUPTED, nothing);
    let options = CampaignOptions {
        models: a.model.clone(),
        device: a.device,
        only: a.only.clone(),
        labels: a.labels.clone(),
        shard: a.shard,
        keep_going: a.keep_going,
        ..CampaignOptions::new(&a.config)
    };
    let config = options.load_config(&Own::default())?;
    check_only(&a.only, &config)?;
    let latest = || Campaign::latest(Path::new(OUTPUT), &config.name).filter(|_| a.resume);
    let folder = a.out.clone().or_else(latest).unwrap_or_else(|| {
        if a.resume {
            tracing::warn!(
                "no campaign '{}' was begun in {OUTPUT}: it begins now (give --out to continue in another folder)",
                config.name
            );
        }
        Path::new(OUTPUT).join(format!("{}-{}", config.name, provenance::now().replace(':', "")))
    });
    let bars = bars.unless(a.quiet);
    let builder = Campaign::builder().options(options).config(config).progress(&bars);
    if a.dry_run {
        let free_mib = doctor::free_mib(&folder);
        write!(
            out,
            "{}",
            forecast::text(
                &builder.output(Output::Folder { path: folder, begin: Begin::New }).forecast()?,
                free_mib
            )
        )?;
        return Ok(exit::AS_EXPECTED);
    }
    let begin = match (a.resume, a.force_new) {
        (true, _) => Begin::Resume,
        (false, true) => Begin::Beside,
        (false, false) => Begin::New,
    };
    let campaign = builder
        .output(Output::Folder { path: folder.clone(), begin })
        .save_every(a.save_every.unwrap_or(Session::SAVE_EVERY))
        .stop(interrupt::requested())
        .open()?;
    let folder = campaign.folder().unwrap_or(&folder).to_owned();
    let continue_with = format!("continue with the same command and --out {} --resume", shown(&folder));
    let ran = interruptible(&folder, &continue_with, out, || campaign.run())?;
    let Some(results) = ran else { return Ok(exit::INTERRUPTED) };
    if let Some(shard) = a.shard {
        let place = shown(&folder);
        writeln!(
            out,
            "shard {shard}: {} runs in {place}; when all shards are there: mdproof merge DIR... --out DIR",
            results.runs.len()
        )?;
        return Ok(exit::AS_EXPECTED);
    }
    conclude(&results, &folder, a.json, out, colour)
}

/// Checks that the campaign has the models and molecules that `--only` names.
fn check_only(filters: &[Filter], config: &Config) -> Result<()> {
    for filter in filters {
        let (what, name, known): (_, _, Vec<&str>) = match filter {
            Filter::Model(name) => ("model", name, config.models.iter().map(|m| m.name.as_str()).collect()),
            Filter::Molecule(name) => {
                ("molecule", name, config.molecules.iter().map(|m| m.name.as_str()).collect())
            }
            Filter::TemperatureK(_) | Filter::Replica(_) => continue,
        };
        if !known.contains(&name.as_str()) {
            bail!("--only {filter}: the campaign has no {what} '{name}' (it has {})", known.join(", "));
        }
    }
    Ok(())
}

/// Writes the reports of a campaign, and prints its outcome.
pub(super) fn conclude(
    results: &Results,
    folder: &Path,
    json: bool,
    out: &mut dyn Write,
    colour: bool,
) -> Result<u8> {
    let place = shown(folder);
    let no_reports = format!(
        "the results are complete in {place}, the reports are not: mdproof report {place} writes them"
    );
    let guard = interrupt::may_end_anywhere(exit::INTERRUPTED, format!("interrupted: {no_reports}"));
    report::write(results, folder).with_context(|| no_reports)?;
    drop(guard);
    let file = folder.join(md_results::FILE);
    if json {
        out.write_all(&std::fs::read(&file)?)?;
    } else {
        let report = folder.join(report::HTML);
        let dashboard = dashboard::render(results, colour);
        writeln!(out, "{dashboard}results: {}\nreport: {}", shown(&file), shown(&report))?;
    }
    Ok(exit::status_of_campaign(md_criteria::outcome(results)))
}

/// Runs a campaign whose results are stored in `folder`. Returns `None` if it was interrupted, and prints how to
/// resume.
pub(super) fn interruptible(
    folder: &Path,
    continue_with: &str,
    out: &mut dyn Write,
    campaign: impl FnOnce() -> Result<Results, CampaignError>,
) -> Result<Option<Results>> {
    let interrupted = format!("interrupted: what was measured is kept in {}: {continue_with}", shown(folder));
    let guard = interrupt::may_end_anywhere(exit::INTERRUPTED, interrupted.clone());
    let ran = campaign();
    drop(guard);
    match ran {
        Ok(results) => Ok(Some(results)),
        Err(CampaignError::Interrupted) => {
            writeln!(out, "{interrupted}")?;
            Ok(None)
        }
        Err(error @ CampaignError::Storage(_)) => Err(error).with_context(|| {
            format!(
                "what was measured until now is kept in {}: make room, then {continue_with}",
                shown(folder)
            )
        }),
        Err(error) => Err(error.into()),
    }
}
