//! `mdproof doctor`: checks this machine and whether a campaign is ready to run.
//!
//! The other modules take [`readings`], which [`judge`] evaluates as a pure function.

mod campaign;
mod forces;
mod gpu;
mod judge;
mod machine;
mod readings;
mod render;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use md_driver::config::ModelArgument;
use md_driver::progress::Progress;
use serde::Serialize;

use crate::arguments::OUTPUT;
use crate::bars::Bars;
use judge::{Item, Status};
use readings::Readings;

/// Exit status: 0 no problem, 1 a problem, 2 bad usage. A warning is no problem.
#[derive(Args)]
pub struct Doctor {
    /// Campaign file (TOML): its checkpoints are loaded and its data are read, too.
    config: Option<PathBuf>,
    /// Add a model to the campaign, or replace the one of that name.
    #[arg(long, value_name = "NAME=CHECKPOINT", requires = "config")]
    model: Vec<ModelArgument>,
    /// Where results are to be written: how much room is there?
    #[arg(long, value_name = "DIR", default_value = OUTPUT)]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Findings for programs.
#[derive(Debug, Serialize)]
struct Report {
    mdproof_version: &'static str,
    /// Worst status of all items.
    status: Status,
    items: Vec<Item>,
    readings: Readings,
}

/// Checks the machine and the campaign; the exit status is 1 if there is a problem.
///
/// # Errors
/// The campaign file does not exist, or the output cannot be written.
pub fn run(a: &Doctor, out: &mut dyn Write, colour: bool, bars: Bars) -> Result<u8> {
    if let Some(config) = a.config.as_deref().filter(|config| !config.is_file()) {
        bail!("there is no file '{}'", config.display());
    }
    let readings = read(a.config.as_deref(), &a.model, &a.out, &bars);
    let items = judge::judge(&readings);
    let status = judge::worst(&items);
    if a.json {
        let report = Report { mdproof_version: env!("CARGO_PKG_VERSION"), status, items, readings };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", render::render(&items, colour))?;
    }
    Ok(u8::from(status == Status::Problem))
}

fn read(config: Option<&Path>, extra: &[ModelArgument], out: &Path, progress: &dyn Progress) -> Readings {
    let found = config.map(|file| campaign::read(file, extra, progress));
    let (campaign, subject) = found.map_or((None, None), |(campaign, subject)| (Some(campaign), subject));
    let build = readings::Build { cuda: cfg!(feature = "cuda"), wgpu: cfg!(feature = "wgpu") };
    Readings {
        cpu: machine::cpu(),
        memory: machine::memory(),
        disk: machine::disk(out),
        nvidia: gpu::nvidia(),
        forces: forces::measure(subject, &build, progress),
        build,
        campaign,
    }
}

/// Returns the free space of the file system that contains `folder`, or would contain it, MiB.
pub fn free_mib(folder: &Path) -> Option<f64> {
    machine::disk(folder).map(|disk| disk.free_mib)
}
