//! How fast a model is on a molecule.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use md_bench::Protocol;
use md_core::{Integrator, State, System, neighbours};
use md_dynamics::VelocityVerlet;
use md_results::{Machine, Results, Speed};

use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::error::CampaignError;
use crate::models::LoadedModel;

/// Steps of the cold start.
const COLD_STEPS: usize = 100;

/// Time step of the timed dynamics, fs.
pub const TIMESTEP_FS: f64 = 0.5;

const FS_PER_NS: f64 = 1e6;
const SECONDS_PER_DAY: f64 = 86_400.0;

/// The speed of a model on every molecule.
pub(super) struct SpeedOfModel;

impl Stage for SpeedOfModel {
    fn about(&self) -> About {
        About { id: md_results::Stage::Speed, title: "speed", needs: Needs::Nothing, of_control: true }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        cx.molecules_where(|_| true)
    }

    fn measure(
        &self,
        _: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let molecule = subject.as_molecule()?;
        out.speed.push(measure(model, &molecule.record.name, &molecule.system, 1)?);
        Ok(())
    }

    fn cost(&self, _: &View<'_>, _: &Subject<'_>) -> Result<Option<Cost>> {
        Ok(Some(Cost { timed_calls: true, ..Cost::default() }))
    }
}

/// Measures the rates of one thread of this machine, and of all threads together. Call it last: it fills memory, and
/// the measurements of models report the peak memory so far.
pub fn machine() -> Vec<Machine> {
    let all = rayon::current_num_threads();
    let mut rates: Vec<Machine> = vec![record(&md_bench::machine(1))];
    if all > 1 {
        rates.push(record(&md_bench::machine(all)));
    }
    rates
}

fn record(machine: &md_bench::Machine) -> Machine {
    let md_bench::Machine { threads, gemm_f32_gflop_per_s, gemm_f64_gflop_per_s, memory_gb_per_s } = *machine;
    Machine { threads, gemm_f32_gflop_per_s, gemm_f64_gflop_per_s, memory_gb_per_s }
}

/// Measures one model on `batch` replicas of one molecule.
///
/// # Errors
/// Errors of the potential.
pub fn measure(
    model: &mut LoadedModel,
    molecule: &str,
    system: &System,
    batch: usize,
) -> Result<Speed, CampaignError> {
    Ok(measure_inner(model, molecule, system, batch)?)
}

fn measure_inner(model: &mut LoadedModel, molecule: &str, system: &System, batch: usize) -> Result<Speed> {
    let cold_steps_s = cold_steps_s(model, system)?;
    let replicas = vec![system.clone(); batch];
    let timing = md_bench::measure(model.potential.as_mut(), &replicas, &Protocol::default())?;
    // One system is computed by one thread.
    let threads = if batch == 1 { 1 } else { rayon::current_num_threads() };
    let molecule_steps_per_s = timing.steps_per_s * batch as f64;
    let gflop_per_call = model.architecture.as_ref().map(|architecture| {
        let mut pairs = 0;
        neighbours::for_each_pair(system.positions(), architecture.cutoff_angstrom(), |_| pairs += 1);
        1e-9 * batch as f64 * architecture.flops_per_call(system.n_atoms(), pairs)
    });
    let gflop_per_s = gflop_per_call.map(|gflop| gflop / (1e-3 * timing.ms_per_call_p50));
    let device = model.record.device.clone().unwrap_or_else(|| "cpu".to_owned());
    Ok(Speed {
        model: model.record.name.clone(),
        molecule: molecule.to_owned(),
        atoms: system.n_atoms(),
        batch,
        threads: (device == "cpu").then_some(threads),
        device,
        path: model.path.clone(),
        ms_per_call_p50: timing.ms_per_call_p50,
        ms_per_call_p99: timing.ms_per_call_p99,
        calls: timing.calls,
        ms_per_step: timing.ms_per_step,
        steps_per_s: timing.steps_per_s,
        molecule_steps_per_s: Some(molecule_steps_per_s),
        ns_per_day: Some(molecule_steps_per_s * TIMESTEP_FS * SECONDS_PER_DAY / FS_PER_NS),
        gflop_per_call,
        gflop_per_s,
        fraction_of_gemm_rate: None,
        cold_100_steps_s: model.load_s + cold_steps_s,
        peak_memory_mib: timing.peak_memory_mib,
        speedup_vs_first: 1.0,
    })
}

/// Time that [`measure`] takes with a model that needs so much for a call, s.
pub fn seconds(per_call_s: f64) -> f64 {
    let Protocol { max_calls, max_seconds, .. } = Protocol::default();
    let timed_s = (2 * max_calls) as f64 * per_call_s; // calls and steps
    timed_s.min(max_seconds) + COLD_STEPS as f64 * per_call_s
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

/// Fills in what the rows make of the machine.
pub fn relate_to_machine(rows: &mut [Speed], machine: &[Machine]) {
    for row in rows {
        let rates = machine.iter().find(|m| Some(m.threads) == row.threads);
        let rate = rates
            .map(|m| if row.path.ends_with("f32") { m.gemm_f32_gflop_per_s } else { m.gemm_f64_gflop_per_s });
        row.fraction_of_gemm_rate = row.gflop_per_s.zip(rate).map(|(achieved, rate)| achieved / rate);
    }
}

/// Fills in the speed relative to the first model that is judged (or the first of all) on the same molecule.
pub fn relate_to_first(results: &mut Results) {
    let Some(first) = results
        .models
        .iter()
        .find(|m| m.role == md_results::Role::Candidate && results.speed.iter().any(|s| s.model == m.name))
        .or(results.models.first())
        .map(|m| m.name.clone())
    else {
        return;
    };
    relate(&mut results.speed, &first);
}

/// Fills in the speed relative to the model `first` on the same molecule in the same batch on the same device.
pub fn relate(speed: &mut [Speed], first: &str) {
    let key = |s: &Speed| (s.molecule.clone(), s.batch, s.device.clone());
    let mut base = BTreeMap::new();
    for s in speed.iter().filter(|s| s.model == first) {
        base.entry(key(s)).or_insert(s.ms_per_step);
    }
    for s in speed {
        if let Some(ms) = base.get(&key(s)) {
            s.speedup_vs_first = ms / s.ms_per_step;
        }
    }
}
