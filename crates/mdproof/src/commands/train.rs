//! `mdproof train`: a training run with a progress bar, which can be stopped and resumed.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::Result;
use clap::{Args, ValueEnum};
use md_model::TrainingDevice;
use md_train::{Event, Outcome, Trainer, TrainingConfig, ValidationErrors};

use crate::arguments::OUTPUT;
use crate::bars::Bars;
use crate::{exit, interrupt};

#[derive(Args)]
pub struct Train {
    /// Training file (TOML), such as configs/train/demo.toml.
    config: PathBuf,
    /// Folder of the run: checkpoint, log and state [default: mdproof-out/train-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue with the run in that folder.
    #[arg(long)]
    resume: bool,
    /// Where gradients are computed.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Device {
    /// The CPU.
    Cpu,
    /// The CPU, by burn's tape: slow, for checks.
    BurnCpu,
    /// The first CUDA device.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// Runs the training until it is finished or interrupted.
pub fn run(a: &Train, out: &mut dyn Write, bars: Bars) -> Result<u8> {
    interrupt::listen()?;
    let config = TrainingConfig::load(&a.config)?;
    let folder = a.out.clone().unwrap_or_else(|| Path::new(OUTPUT).join(format!("train-{}", config.name)));
    let device = match a.device {
        Device::Cpu => TrainingDevice::Cpu,
        Device::BurnCpu => TrainingDevice::BurnCpu,
        #[cfg(feature = "cuda")]
        Device::Cuda => TrainingDevice::Cuda,
    };
    let (name, steps) = (config.name.clone(), config.optimiser.steps);
    let mut trainer = if a.resume {
        Trainer::resume(config, &folder, device)?
    } else {
        Trainer::new(config, &folder, device)?
    };
    let split = trainer.split();
    tracing::info!(
        "{name}: {} parameters, {} frames to train on, {} to validate on",
        trainer.parameter_count(),
        split.training.len(),
        split.validation.len()
    );

    let stop = interrupt::requested();
    let bar = bars.unless(a.quiet).training(&name, trainer.step(), steps);
    let best = trainer.best().map_or_else(String::new, |b| describe_best(b.force_rmse_ev_per_angstrom));
    bar.set_message(best);
    let outcome = trainer.run(&mut |event| {
        match event {
            Event::Step(report) => bar.set_position(report.step),
            Event::Validated(errors) => {
                tracing::info!("{name}: step {}, {}", bar.position(), describe(errors))
            }
            Event::Improved(best) => bar.set_message(describe_best(best.force_rmse_ev_per_angstrom)),
            Event::Saved => {}
        }
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    bar.finish_and_clear();

    match trainer.best() {
        Some(best) => {
            let rmse = best.force_rmse_ev_per_angstrom;
            writeln!(
                out,
                "best: step {}, validation force RMSE {rmse:.4} eV/Å: {}",
                best.step,
                folder.display()
            )?;
        }
        None => writeln!(out, "no validation yet: {} holds no checkpoint", folder.display())?,
    }
    match outcome {
        Outcome::Finished => writeln!(out, "finished after {} steps", trainer.step())?,
        Outcome::StoppedEarly => {
            writeln!(out, "no better for a while: stopped after {} steps", trainer.step())?
        }
        Outcome::Interrupted => {
            writeln!(out, "interrupted after {} of {steps} steps: continue with --resume", trainer.step())?;
            return Ok(exit::INTERRUPTED);
        }
    }
    Ok(exit::AS_EXPECTED)
}

fn describe_best(rmse_ev_per_angstrom: f64) -> String {
    format!("best {:.1} meV/Å", 1000.0 * rmse_ev_per_angstrom)
}

/// Formats the errors over all validation frames, then those of each molecule.
fn describe(errors: &ValidationErrors) -> String {
    let mev = |x: f64| 1000.0 * x;
    let molecules: Vec<String> = errors
        .molecules
        .iter()
        .map(|(molecule, e)| format!("{molecule} {:.1}", mev(e.force_rmse_ev_per_angstrom)))
        .collect();
    format!(
        "validation force RMSE {:.1} meV/Å, energy {:.2} meV/atom ({})",
        mev(errors.all.force_rmse_ev_per_angstrom),
        errors.all.energy_rmse_mev_per_atom,
        molecules.join(", ")
    )
}
