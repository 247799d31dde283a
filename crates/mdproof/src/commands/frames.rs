//! `mdproof frames`: extracts frames visited by models for labelling with a reference program.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use md_driver::frames::{self, Selection};
use md_results::Role;

use crate::arguments::read_results;
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
    /// Only frames of this model [default: all models but the analytic control]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only frames of this molecule.
    #[arg(long, value_name = "NAME")]
    molecule: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The folder has no results or no such frames, or the file cannot be written.
pub fn run(a: &Frames, out: &mut dyn Write) -> Result<u8> {
    let results = read_results(&a.results)?;
    if let Some(fault) = results.fault_of_frames(&a.results) {
        bail!("{fault}: mdproof validate with --resume writes it anew");
    }
    let controls = results.models.iter().filter(|m| m.role == Role::Control).map(|m| m.name.as_str());
    let selection = Selection {
        model: a.model.as_deref(),
        molecule: a.molecule.as_deref(),
        without: &controls.collect::<Vec<_>>(),
    };
    let n = frames::select(&a.results.join(md_results::FRAMES_FILE), &a.out, selection)?;
    writeln!(out, "{}: {}", md_results::frames(n), a.out.display())?;
    Ok(exit::AS_EXPECTED)
}
