//! `mdproof report`, `compare` and `status`: what people read, from the records alone.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use md_io::files::write_atomically;
use md_io::progress::{self, CampaignProgress};
use md_io::results::Results;
use md_report::compare::Outcome;

use crate::{criteria, exit, frames, provenance, speed, verdict};

/// Writes report.html, report.md, junit.xml and plots to a campaign's folder, from its results alone.
#[derive(Args)]
pub struct Report {
    /// Output folder of `mdproof validate`.
    results: PathBuf,
}

/// Two results, such as those of two releases of a model: what changed beyond its uncertainty.
///
/// Exit status: 0 nothing got worse, 1 a regression, 2 bad input, 3 not comparable: something of the first is missing in
/// the second, unfinished or INCOMPLETE, or the campaigns differ. Both results are judged anew from their measurements;
/// one whose verdicts or checks say something else is not comparable.
#[derive(Args)]
pub struct Compare {
    /// The results before: an output folder of `mdproof validate`, or its results.json.
    before: PathBuf,
    /// The results after.
    after: PathBuf,
    /// In which form.
    #[arg(long, value_enum, default_value_t = CompareFormat::Text)]
    format: CompareFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompareFormat {
    Text,
    Markdown,
    Html,
    Json,
}

/// How far a running or stopped campaign is.
#[derive(Args)]
pub struct Status {
    /// Output folder of `mdproof validate`.
    folder: PathBuf,
    /// In which form.
    #[arg(long, value_enum, default_value_t = StatusFormat::Text)]
    format: StatusFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusFormat {
    Text,
    /// Markdown with Completed, Plan, Blockers, Metrics, Next.
    Standup,
    Json,
}

/// The report to open first.
pub const HTML: &str = "report.html";

/// Writes everything that can be read of `results` to `folder`.
///
/// # Errors
/// A file that cannot be written, frames that cannot be read.
pub fn write(results: &Results, folder: &Path) -> Result<()> {
    let definitions = criteria::definitions();
    // Without frames the report says so: results can be sent around alone.
    let moving = folder.join(frames::FILE);
    let trajectories = if moving.exists() { md_report::trajectories(&moving)? } else { Vec::new() };
    let html = md_report::html(results, &definitions, &trajectories)?;
    for (name, text) in [
        (HTML, html),
        ("report.md", md_report::markdown(results, &definitions)?),
        ("junit.xml", md_report::junit(results, &definitions)?),
    ] {
        save(&folder.join(name), &text)?;
    }
    let plots = folder.join("plots");
    std::fs::create_dir_all(&plots).with_context(|| format!("cannot create {}", plots.display()))?;
    for plot in md_report::performance(&speed::performance(results))? {
        save(&plots.join(plot.name), &plot.svg)?;
    }
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<()> {
    write_atomically(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// `results.json` of a folder, or the file itself.
fn read(path: &Path) -> Result<Results> {
    let file = if path.is_dir() { path.join("results.json") } else { path.to_owned() };
    Ok(Results::read(&file)?)
}

/// Runs `mdproof report`.
///
/// # Errors
/// Results that cannot be read, files that cannot be written.
pub fn report(a: &Report, out: &mut dyn Write) -> Result<u8> {
    let results = read(&a.results)?;
    let folder =
        if a.results.is_dir() { a.results.as_path() } else { a.results.parent().unwrap_or(Path::new("")) };
    write(&results, folder)?;
    if let Some(unfinished) = md_report::unfinished(&results) {
        writeln!(out, "{unfinished}")?;
    }
    writeln!(out, "{}", folder.join(HTML).display())?;
    Ok(if results.campaign.is_whole() { exit::AS_EXPECTED } else { exit::INCOMPLETE })
}

/// Runs `mdproof compare`. The exit status is 1 for a regression, 3 for results that are not comparable.
///
/// # Errors
/// Results that cannot be read.
pub fn compare(a: &Compare, out: &mut dyn Write) -> Result<u8> {
    let changes = md_report::compare(&read(&a.before)?, &read(&a.after)?, verdict::judge);
    match a.format {
        CompareFormat::Text => write!(out, "{}", md_report::compare::text(&changes))?,
        CompareFormat::Markdown => write!(out, "{}", md_report::compare::markdown(&changes)?)?,
        CompareFormat::Html => write!(out, "{}", md_report::compare::html(&changes)?)?,
        CompareFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &changes)?;
            writeln!(out)?;
        }
    }
    Ok(match changes.outcome {
        Outcome::NoRegression => exit::AS_EXPECTED,
        Outcome::Regression => exit::NOT_AS_EXPECTED,
        Outcome::NotComparable => exit::INCOMPLETE,
    })
}

/// Runs `mdproof status`.
///
/// # Errors
/// A folder without a campaign, files that cannot be read.
pub fn status(a: &Status, out: &mut dyn Write) -> Result<u8> {
    let file = a.folder.join(progress::FILE);
    let progress = file.exists().then(|| CampaignProgress::read(&file)).transpose()?;
    let results = a.folder.join("results.json");
    let results = results.exists().then(|| Results::read(&results)).transpose()?;
    if progress.is_none() && results.is_none() {
        bail!(
            "{}: there is no campaign here (expected progress.json or results.json, as mdproof validate --out writes them)",
            a.folder.display()
        );
    }
    let alive = progress.as_ref().is_some_and(|p| !p.finished && is_running(p.pid));
    let definitions = criteria::definitions();
    let status =
        md_report::status(progress.as_ref(), results.as_ref(), &definitions, &provenance::now(), alive);
    match a.format {
        StatusFormat::Text => write!(out, "{}", md_report::status::text(&status))?,
        StatusFormat::Standup => write!(out, "{}", md_report::status::standup(&status)?)?,
        StatusFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, &status)?;
            writeln!(out)?;
        }
    }
    Ok(0)
}

fn is_running(pid: u32) -> bool {
    use sysinfo::{Pid, ProcessesToUpdate, System};
    let pid = Pid::from_u32(pid);
    let Ok(mut system) = System::new() else { return false };
    system.refresh_processes(ProcessesToUpdate::Some(&[pid]), true);
    system.process(pid).is_some_and(|process| process.name().to_string_lossy().contains("mdproof"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_is_no_campaign() {
        // This one is called by the name of its crate.
        assert!(!is_running(std::process::id()));
    }
}
