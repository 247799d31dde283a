//! `mdproof report`: writes the reports of a campaign from its results alone.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use md_io::files::write_atomically;
use md_results::{Performance, Results};

use crate::arguments::{read_results, shown};
use crate::exit;

/// Writes report.html, report.md, junit.xml and plots to a campaign's folder, from its results alone.
#[derive(Args)]
pub struct Report {
    /// Output folder of `mdproof validate`.
    results: PathBuf,
}

/// Main report.
pub const HTML: &str = "report.html";

/// Writes all reports of `results` to `folder`.
///
/// # Errors
/// A file cannot be written, or the frames cannot be read.
pub fn write(results: &Results, folder: &Path) -> Result<()> {
    let definitions = md_criteria::definitions();
    // Results may be passed on without frames; the report then says so.
    let moving = folder.join(md_results::FRAMES_FILE);
    let fault = results.fault_of_frames(folder).filter(|_| moving.exists());
    if let Some(fault) = &fault {
        tracing::warn!(
            "{fault}: the report shows no runs in motion; mdproof validate with --resume writes it anew"
        );
    }
    let trajectories =
        if moving.exists() && fault.is_none() { md_report::trajectories(&moving)? } else { Vec::new() };
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
    for plot in md_report::performance(&Performance::from_results(results))? {
        save(&plots.join(plot.name), &plot.svg)?;
    }
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<()> {
    write_atomically(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

/// Runs `mdproof report`. The results are judged again.
///
/// # Errors
/// The results cannot be read, or a file cannot be written.
pub fn run(a: &Report, out: &mut dyn Write) -> Result<u8> {
    let results = read_results(&a.results)?;
    let folder =
        if a.results.is_dir() { a.results.as_path() } else { a.results.parent().unwrap_or(Path::new("")) };
    write(&results, folder)?;
    for line in md_report::notices(&results) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", shown(&folder.join(HTML)))?;
    Ok(if results.campaign.is_whole() { exit::AS_EXPECTED } else { exit::INCOMPLETE })
}
