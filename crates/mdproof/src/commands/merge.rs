//! `mdproof merge`: joins the shards of a campaign.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use md_driver::campaign::{self, Session};

use super::validate::{conclude, interruptible};
use crate::bars::Bars;
use crate::{exit, interrupt};

#[derive(Args)]
pub struct Merge {
    /// Output folders of `mdproof validate --shard I/N`, every shard once.
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

/// Runs `mdproof merge`.
///
/// # Errors
/// The shards cannot be joined, or measurements cannot be stored.
pub fn run(a: &Merge, out: &mut dyn Write, colour: bool, bars: Bars) -> Result<u8> {
    interrupt::listen()?;
    let bars = bars.unless(a.quiet);
    let session = Session { stop: interrupt::requested(), ..Session::default() };
    let continue_with = "continue with the same command";
    let ran =
        interruptible(&a.out, continue_with, out, || campaign::merge(&a.shards, &a.out, &session, &bars))?;
    let Some(results) = ran else { return Ok(exit::INTERRUPTED) };
    conclude(&results, &a.out, a.json, out, colour)
}
