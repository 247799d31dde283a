//! `mdproof bench`: time per call, time per NVE step and memory of models.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use md_core::System;
use md_driver::config::{Device, Implementation, ModelArgument};
use md_driver::measure::speed;
use md_driver::models;
use md_driver::progress::Progress;
use md_model::Precision;
use md_results::Performance;

use crate::arguments::{check_names, count, device, implementation, precision, stem};
use crate::bars::Bars;
use crate::{exit, render};

#[derive(Args)]
pub struct Bench {
    /// Models; the first is what the others are compared with.
    #[arg(long, value_name = "NAME=CHECKPOINT", required = true)]
    model: Vec<ModelArgument>,
    /// Structures (extended XYZ; the file's name is the molecule's).
    #[arg(required = true)]
    structures: Vec<PathBuf>,
    /// Floating-point format: f32 or f64.
    #[arg(long, default_value = "f32", value_parser = precision)]
    precision: Precision,
    /// Implementations of each model.
    #[arg(long, value_delimiter = ',', default_value = "fast", value_name = "NAME,...", value_parser = implementation())]
    implementation: Vec<Implementation>,
    /// Where `fast` is computed.
    #[arg(long, default_value = "cpu", value_parser = device())]
    device: Device,
    /// Replicas of a molecule in lock step.
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N,...", value_parser = count)]
    batch: Vec<usize>,
    /// Threads for batches [default: all cores].
    #[arg(long, value_name = "N", value_parser = count)]
    threads: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Folder for md_performance_results.json and plots (SVG).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Two models have one name, a checkpoint or structure cannot be read, or a folder cannot be written.
pub fn run(a: &Bench, out: &mut dyn Write, bars: Bars) -> Result<u8> {
    check_names(&a.model)?;
    let mut molecules: Vec<(String, System)> = Vec::new();
    for path in &a.structures {
        molecules.push((stem(path), md_io::extxyz::read_system(path)?));
    }
    let named: Vec<(&str, &System)> =
        molecules.iter().map(|(name, system)| (name.as_str(), system)).collect();
    let mut pool = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = a.threads {
        pool = pool.num_threads(threads);
    }
    let performance = pool.build()?.install(|| -> Result<Performance> {
        let mut rows = Vec::new();
        let mut assumptions = BTreeMap::new();
        for argument in &a.model {
            let measured = molecules.len() * a.batch.len() * a.implementation.len();
            let ticker = bars.stage(&argument.name, measured as u64);
            for &implementation in &a.implementation {
                let config = argument.config(a.precision, implementation, a.device);
                let mut model = models::load(&config, &named)?.context("the checkpoint was not loaded")?;
                if !model.record.assumptions.is_empty() {
                    assumptions.insert(argument.name.clone(), model.record.assumptions.clone());
                }
                for (name, system) in &molecules {
                    for &batch in &a.batch {
                        rows.push(speed::measure(&mut model, name, system, batch)?);
                        ticker.tick();
                    }
                }
            }
        }
        speed::relate(&mut rows, &a.model[0].name);
        let machine = speed::machine();
        speed::relate_to_machine(&mut rows, &machine);
        Ok(Performance { machine, speed: rows, assumptions })
    })?;
    if let Some(folder) = &a.out {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        md_results::write_json(&folder.join("md_performance_results.json"), &performance)?;
        for plot in md_report::performance(&performance)? {
            let file = folder.join(plot.name);
            std::fs::write(&file, plot.svg).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    if a.json {
        serde_json::to_writer_pretty(&mut *out, &performance)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", render::speed::text(&performance))?;
    }
    Ok(exit::AS_EXPECTED)
}
