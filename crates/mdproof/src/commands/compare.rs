//! `mdproof compare`: changes between two results.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use md_report::compare::Outcome;

use crate::arguments::read_stored;
use crate::exit;

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

/// Runs `mdproof compare`. The exit status is 1 for a regression, 3 for results that are not comparable.
///
/// # Errors
/// The results cannot be read.
pub fn run(a: &Compare, out: &mut dyn Write) -> Result<u8> {
    let changes = md_report::compare(&read_stored(&a.before)?, &read_stored(&a.after)?, md_criteria::judge);
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
