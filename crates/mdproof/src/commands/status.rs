//! `mdproof status`: progress of a running or stopped campaign.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use md_driver::campaign::Campaign;
use md_driver::provenance;
use md_results::progress::{self, CampaignProgress};

use crate::arguments::{read_results, shown};
use crate::exit;

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

/// Runs `mdproof status`.
///
/// # Errors
/// The folder has no campaign, or files cannot be read.
pub fn run(a: &Status, out: &mut dyn Write) -> Result<u8> {
    // Tested first: a campaign that ends while its files are read has then recorded its end.
    let alive = Campaign::is_running(&a.folder);
    let file = a.folder.join(progress::FILE);
    let progress = file.exists().then(|| CampaignProgress::read(&file)).transpose()?;
    let results = a.folder.join(md_results::FILE);
    let results = results.exists().then(|| read_results(&results)).transpose()?;
    if progress.is_none() && results.is_none() {
        bail!(
            "{}: there is no campaign here (expected progress.json or results.json, as mdproof validate --out writes them)",
            shown(&a.folder)
        );
    }
    let definitions = md_criteria::definitions();
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
    Ok(exit::AS_EXPECTED)
}
