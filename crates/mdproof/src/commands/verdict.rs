//! `mdproof verdict`: judges a results file again, from that file alone.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::arguments::read_results;
use crate::exit;
use crate::render::dashboard;

#[derive(Args)]
pub struct Verdict {
    /// A results.json, or the output folder of `mdproof validate`.
    results: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// The results cannot be read.
pub fn run(a: &Verdict, out: &mut dyn Write, colour: bool) -> Result<u8> {
    let results = read_results(&a.results)?;
    write!(out, "{}", dashboard::render(&results, colour))?;
    Ok(exit::status_of_campaign(md_criteria::outcome(&results)))
}
