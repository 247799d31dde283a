//! How fast a model is on a molecule.

use std::time::Instant;

use anyhow::Result;
use md_bench::Protocol;
use md_core::{Integrator, State, System};
use md_dynamics::VelocityVerlet;
use md_io::results::{Results, Speed};

use crate::models::LoadedModel;
use crate::verdict::number;

/// Steps of the cold start.
const COLD_STEPS: usize = 100;

/// Time step of the timed dynamics, fs.
const TIMESTEP_FS: f64 = 0.5;

/// Measures one model on one molecule, alone in its batch.
///
/// # Errors
/// What the potential returns.
pub fn measure(model: &mut LoadedModel, molecule: &str, system: &System) -> Result<Speed> {
    let cold_steps_s = cold_steps_s(model, system)?;
    let timing =
        md_bench::measure(model.potential.as_mut(), std::slice::from_ref(system), &Protocol::default())?;
    Ok(Speed {
        model: model.record.name.clone(),
        molecule: molecule.to_owned(),
        atoms: system.n_atoms(),
        batch: 1,
        device: "cpu".to_owned(),
        path: model.path.clone(),
        ms_per_call_p50: timing.ms_per_call_p50,
        ms_per_call_p99: timing.ms_per_call_p99,
        calls: timing.calls,
        ms_per_step: timing.ms_per_step,
        steps_per_s: timing.steps_per_s,
        cold_100_steps_s: model.load_s + cold_steps_s,
        peak_memory_mib: timing.peak_memory_mib,
        speedup_vs_first: 1.0,
    })
}

/// Time of the first steps, s: nothing has been called on this molecule's shapes to warm it up.
#[expect(clippy::disallowed_methods, reason = "this is a measurement of time")]
fn cold_steps_s(model: &mut LoadedModel, system: &System) -> Result<f64> {
    let start = Instant::now();
    let potential = model.potential.as_mut();
    let mut state = State::at_rest(std::slice::from_ref(system), potential)?;
    let mut verlet = VelocityVerlet::new(TIMESTEP_FS)?;
    for _ in 0..COLD_STEPS {
        verlet.step(&mut state, potential)?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Fills in the speed relative to the first model that is judged (or the first of all) on the same molecule.
pub fn relate_to_first(results: &mut Results) {
    let Some(first) = results
        .models
        .iter()
        .find(|m| {
            m.role == md_io::results::Role::Candidate && results.speed.iter().any(|s| s.model == m.name)
        })
        .or(results.models.first())
        .map(|m| m.name.clone())
    else {
        return;
    };
    relate(&mut results.speed, &first);
}

/// Fills in the speed relative to the model `first` on the same molecule.
pub fn relate(speed: &mut [Speed], first: &str) {
    let base: Vec<(String, f64)> =
        speed.iter().filter(|s| s.model == first).map(|s| (s.molecule.clone(), s.ms_per_step)).collect();
    for s in speed {
        if let Some((_, ms)) = base.iter().find(|(molecule, _)| *molecule == s.molecule) {
            s.speedup_vs_first = ms / s.ms_per_step;
        }
    }
}

/// The rows as a table for a person.
pub fn render(rows: &[Speed]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "model",
        "molecule",
        "atoms",
        "path",
        "call p50 ms",
        "call p99 ms",
        "step ms",
        "steps/s",
        "cold 100 steps s",
        "peak MiB",
        "speedup",
    ]);
    for s in rows {
        table.add_row([
            s.model.clone(),
            s.molecule.clone(),
            s.atoms.to_string(),
            s.path.clone(),
            number(s.ms_per_call_p50),
            number(s.ms_per_call_p99),
            number(s.ms_per_step),
            number(s.steps_per_s),
            number(s.cold_100_steps_s),
            s.peak_memory_mib.map_or("-".to_owned(), number),
            format!("{}x", number(s.speedup_vs_first)),
        ]);
    }
    format!("{table}\n")
}
