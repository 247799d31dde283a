//! `mdproof evaluate`: energy and force errors of a model on labelled frames.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use md_driver::config::{Device, Implementation, ModelArgument};
use md_driver::measure::evaluate::{self, GivenKeys};
use md_driver::models;
use md_driver::progress::Progress;
use md_model::Precision;

use crate::arguments::{precision, stem};
use crate::bars::Bars;
use crate::exit;
use crate::render::evaluations;

#[derive(Args)]
pub struct Evaluate {
    /// Checkpoint: a folder, a .safetensors or a .pt file; FILE#KEY for one of several sets of weights in it.
    checkpoint: PathBuf,
    /// Labelled frames (extended XYZ, plain or gzip).
    #[arg(required = true)]
    frames: Vec<PathBuf>,
    /// Print JSON: an object for one file, an array for several.
    #[arg(long)]
    json: bool,
    /// Print a table in Markdown.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Key of the energy (eV) in the comment line [default: energy]
    #[arg(long)]
    energy_key: Option<String>,
    /// Column of the forces (eV/Å) [default: forces]
    #[arg(long)]
    forces_key: Option<String>,
    /// Floating-point format: f32 or f64.
    #[arg(long, default_value = "f64", value_parser = precision)]
    precision: Precision,
}

/// Runs the command.
///
/// # Errors
/// The checkpoint or the frames cannot be read, or the labels cannot be those of a reference program.
pub fn run(a: &Evaluate, out: &mut dyn Write, bars: Bars) -> Result<u8> {
    let name = stem(&a.checkpoint);
    let argument = ModelArgument { name: name.clone(), checkpoint: a.checkpoint.clone() };
    let config = argument.config(a.precision, Implementation::Fast, Device::Cpu);
    let mut model = models::load(&config, &[])?.context("the checkpoint was not loaded")?;
    let keys = GivenKeys { energy: a.energy_key.clone(), forces: a.forces_key.clone() };
    let mut found = Vec::new();
    for frames in &a.frames {
        let ticker = bars.stage(&stem(frames), 0);
        let source = evaluate::Source { model: &name, molecule: None, frames };
        let mut evaluated = evaluate::evaluate_file(source, &mut model, &keys, || ticker.tick())?;
        evaluated.warnings.extend(evaluate::seen_in_training(&a.checkpoint, frames));
        found.push(evaluated);
    }
    if a.json {
        match found.as_slice() {
            [one] => serde_json::to_writer_pretty(&mut *out, one)?,
            several => serde_json::to_writer_pretty(&mut *out, several)?,
        }
        writeln!(out)?;
    } else if a.markdown {
        write!(out, "{}", evaluations::markdown(&found))?;
    } else {
        let texts: Vec<String> = found.iter().map(evaluations::text).collect();
        write!(out, "{}", texts.join("\n"))?;
    }
    Ok(exit::AS_EXPECTED)
}
