//! `mdproof frames`: extracts frames visited by models for labelling with a reference program.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::exit;

/// Every frame is written with the model's own energy and forces. Replace them by those of a reference program
/// (in ASE: read, attach a calculator, write), keep the comment lines, and give the file to `mdproof validate
/// --labels`.
#[derive(Args)]
pub struct Frames {
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

/// Runs the command.
///
/// # Errors
/// The folder has no frames, or the file cannot be written.
pub fn run(a: &Frames, out: &mut dyn Write) -> Result<u8> {
    let from = a.results.join(md_results::FRAMES_FILE);
    let n = md_driver::frames::select(&from, &a.out, a.model.as_deref(), a.molecule.as_deref())?;
    writeln!(out, "{n} frames: {}", a.out.display())?;
    Ok(exit::AS_EXPECTED)
}
