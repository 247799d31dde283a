//! What no campaign writes: names that are there twice, records of nobody, numbers that cannot be.

use std::collections::BTreeSet;

use crate::{Counts, Results, RunFate};

/// Collects the faults of results, each with its record.
#[derive(Default)]
struct Faults(Vec<String>);

/// Returns what no campaign would have written, each with the record and what was expected.
pub(crate) fn faults(results: &Results) -> Vec<String> {
    let mut faults = Faults::default();
    names(results, &mut faults);
    criteria(results, &mut faults);
    runs(results, &mut faults);
    errors(results, &mut faults);
    findings(results, &mut faults);
    faults.0
}

impl Faults {
    fn add(&mut self, place: &str, what: &str) {
        self.0.push(format!("{place}: {what}"));
    }

    /// Names must differ.
    fn unique(&mut self, part: &str, names: impl Iterator<Item = String>) {
        let mut known = BTreeSet::new();
        for name in names {
            if !known.insert(name.clone()) {
                self.add(&format!("{part} '{name}'"), "it is there twice, once was expected");
            }
        }
    }

    /// Measured numbers that have no sign; one that was not finite is for the judge.
    fn not_negative<const N: usize>(&mut self, place: &str, numbers: [(&str, Option<f64>); N]) {
        for (what, value) in numbers {
            if let Some(value) = value.filter(|&value| value < 0.0) {
                self.add(place, &format!("{what} is {value}, a number of 0 or more was expected"));
            }
        }
    }

    /// Conditions and times, which are set or counted.
    fn finite<const N: usize>(&mut self, place: &str, numbers: [(&str, Option<f64>); N]) {
        for (what, value) in numbers {
            if value.is_some_and(|value| !value.is_finite()) {
                self.add(place, &format!("{what} is not a number"));
            }
        }
        self.not_negative(place, numbers);
    }

    fn positive(&mut self, place: &str, what: &str, value: f64) {
        if !(value.is_finite() && value > 0.0) {
            self.add(place, &format!("{what} is {value}, a number above 0 was expected"));
        }
    }
}

fn names(results: &Results, faults: &mut Faults) {
    faults.unique("criteria", results.criteria.iter().map(|set| set.name.clone()));
    faults.unique("molecules", results.molecules.iter().map(|m| m.name.clone()));
    faults.unique("models", results.models.iter().map(|m| m.name.clone()));
    faults.unique("runs", results.runs.iter().map(|run| run.id.clone()));
    let gate = |g: &crate::Gate| format!("{} of {} on {}", g.id, g.model, g.molecule);
    faults.unique("gates", results.gates.iter().map(gate));
    let molecules: BTreeSet<&str> = results.molecules.iter().map(|m| m.name.as_str()).collect();
    let models: BTreeSet<&str> = results.models.iter().map(|m| m.name.as_str()).collect();
    let unread: BTreeSet<&str> = results.failures.iter().filter_map(|f| f.molecule.as_deref()).collect();
    for model in &results.models {
        let place = format!("models {}", model.name);
        faults.unique(&format!("{place}: molecule"), model.molecules.iter().cloned());
        // One that could not be read is among the failures instead.
        let known = |name: &str| molecules.contains(name) || unread.contains(name);
        for name in model.molecules.iter().filter(|name| !known(name)) {
            faults.add(&place, &format!("its molecule '{name}' is not among the molecules of the campaign"));
        }
    }
    for (n, run) in results.runs.iter().enumerate() {
        let place = format!("runs[{n}] {}", run.id);
        if !models.contains(run.model.as_str()) {
            faults.add(&place, &format!("its model '{}' is not among the models of the campaign", run.model));
        }
        if !molecules.contains(run.molecule.as_str()) {
            faults.add(
                &place,
                &format!("its molecule '{}' is not among the molecules of the campaign", run.molecule),
            );
        }
    }
}

fn criteria(results: &Results, faults: &mut Faults) {
    for set in &results.criteria {
        let place = format!("criteria {}", set.name);
        faults.finite(&place, [("max_temperature_K", set.max_temperature_k), ("time_ns", Some(set.time_ns))]);
        for (key, threshold) in &set.thresholds {
            let numbers = [Some(threshold.value), threshold.bad];
            if numbers.into_iter().flatten().any(|value| !value.is_finite()) {
                faults.add(&place, &format!("its threshold {key} is not a number"));
            }
        }
    }
    for (n, left) in results.campaign.left_out.iter().enumerate() {
        let place = format!("campaign.left_out[{n}] {}, {}", left.model, left.molecule);
        faults.finite(&place, [("temperature_K", Some(left.temperature_k))]);
    }
}

fn runs(results: &Results, faults: &mut Faults) {
    let mut made = BTreeSet::new();
    for (n, run) in results.runs.iter().enumerate() {
        let place = format!("runs[{n}] {}", run.id);
        let what = (&run.model, &run.molecule, &run.ensemble, run.integrator.as_deref(), run.relaxed);
        let numbers = [Some(run.temperature_k), run.ramp_to_k, run.equilibrated_ps, Some(run.timestep_fs)];
        if !made.insert((what, numbers.map(|x| x.map(f64::to_bits)), run.steps_planned, run.replica)) {
            faults.add(&place, "another run has the same conditions and replica number");
        }
        faults.positive(&place, "timestep_fs", run.timestep_fs);
        let broken_ps = run.stability.as_ref().and_then(|s| s.first_broken_bond_ps);
        faults.finite(
            &place,
            [
                ("temperature_K", Some(run.temperature_k)),
                ("ramp_to_K", run.ramp_to_k),
                ("equilibrated_ps", run.equilibrated_ps),
                ("first_broken_bond_ps", broken_ps),
            ],
        );
        let (done, planned) = (run.steps_done, run.steps_planned);
        if done > planned || (run.fate == RunFate::Finished && done != planned) {
            faults.add(&place, &format!("{} with {done} of {planned} steps cannot be", fate(run.fate)));
        }
        faults.not_negative(&place, [("ms_per_step", run.ms_per_step)]);
        measured(&place, run, faults);
    }
}

fn fate(fate: RunFate) -> &'static str {
    match fate {
        RunFate::Finished => "finished",
        RunFate::Diverged => "diverged",
        RunFate::StoppedEarly => "stopped early",
        RunFate::Failed => "failed",
    }
}

fn measured(place: &str, run: &crate::Run, faults: &mut Faults) {
    if let Some(e) = &run.energy {
        faults.not_negative(
            place,
            [
                ("max_deviation_percent", e.max_deviation_percent),
                ("max_deviation_meV_per_atom", Some(e.max_deviation_mev_per_atom)),
                ("drift_standard_error", e.drift_standard_error),
                ("drift_degrees_of_freedom", e.drift_degrees_of_freedom),
                ("max_jump_meV_per_atom", e.max_jump_mev_per_atom),
                ("rms_fluctuation_meV_per_atom", Some(e.rms_fluctuation_mev_per_atom)),
            ],
        );
    }
    if let Some(t) = &run.temperature {
        faults.not_negative(
            place,
            [("mean_K", Some(t.mean_k)), ("std_K", Some(t.std_k)), ("max_K", Some(t.max_k))],
        );
    }
    if let Some(m) = &run.momentum {
        faults.not_negative(
            place,
            [
                ("max_change_hbar", Some(m.max_change_hbar)),
                ("max_drift_A_per_ps", Some(m.max_drift_angstrom_per_ps)),
            ],
        );
    }
    if let Some(t) = &run.thermal {
        faults.not_negative(
            place,
            [
                ("temperature_standard_error_percent", t.temperature_standard_error_percent),
                ("kinetic_energy_p", t.kinetic_energy_p),
                ("equipartition_p", t.equipartition_p),
            ],
        );
    }
    if let Some(s) = &run.stability {
        let numbers = [("max_bond_ratio", s.max_bond_ratio), ("max_rmsd_A", Some(s.max_rmsd_angstrom))];
        faults.not_negative(place, numbers);
    }
}

/// Gates and errors against labelled frames.
fn errors(results: &Results, faults: &mut Faults) {
    for (n, gate) in results.gates.iter().enumerate() {
        let place = format!("gates[{n}] {} of {} on {}", gate.id, gate.model, gate.molecule);
        faults.finite(&place, [("standard_error", gate.standard_error)]);
        // The lowest barrier may be below the start; what is largest of some distances may not be negative.
        if gate.id.counts() == Counts::Largest {
            faults.not_negative(&place, [("value", gate.value)]);
        }
    }
    for (n, evaluation) in results.evaluations.iter().enumerate() {
        let molecule = evaluation.molecule.as_deref().unwrap_or("all molecules");
        let place = format!("evaluations[{n}] {} on {molecule}", evaluation.model);
        for bin in &evaluation.by_time {
            faults.not_negative(&place, [("rmse_eV_per_A by time", Some(bin.rmse_ev_per_angstrom))]);
        }
        if let Some(f) = &evaluation.force {
            faults.not_negative(
                &place,
                [
                    ("rmse_eV_per_A", Some(f.rmse_ev_per_angstrom)),
                    ("rmse_standard_error_eV_per_A", f.rmse_standard_error_ev_per_angstrom),
                    ("mae_eV_per_A", Some(f.mae_ev_per_angstrom)),
                    ("max_eV_per_A", Some(f.max_ev_per_angstrom)),
                    ("reference_rms_eV_per_A", Some(f.reference_rms_ev_per_angstrom)),
                    ("slope_standard_error", f.slope_standard_error),
                    ("magnitude_mae_eV_per_A", Some(f.magnitude_mae_ev_per_angstrom)),
                ],
            );
            faults.not_negative(&place, f.rmse_xyz_ev_per_angstrom.map(|x| ("rmse_xyz_eV_per_A", Some(x))));
        }
        if let Some(e) = &evaluation.energy {
            faults.not_negative(
                &place,
                [
                    ("mae_meV_per_atom", Some(e.mae_mev_per_atom)),
                    ("rmse_meV_per_atom", Some(e.rmse_mev_per_atom)),
                ],
            );
        }
    }
}

/// What follows the runs: speed, dynamics against the reference, distances, time steps.
fn findings(results: &Results, faults: &mut Faults) {
    for (n, speed) in results.speed.iter().enumerate() {
        let place = format!("speed[{n}] {} on {}", speed.model, speed.molecule);
        faults.not_negative(
            &place,
            [
                ("ms_per_call_p50", Some(speed.ms_per_call_p50)),
                ("ms_per_call_p99", Some(speed.ms_per_call_p99)),
                ("ms_per_step", Some(speed.ms_per_step)),
                ("steps_per_s", Some(speed.steps_per_s)),
                ("cold_100_steps_s", Some(speed.cold_100_steps_s)),
                ("peak_memory_MiB", speed.peak_memory_mib),
            ],
        );
    }
    for (n, comparison) in results.comparisons.iter().enumerate() {
        let place = format!("comparisons[{n}] {} on {}", comparison.model, comparison.molecule);
        faults.not_negative(&place, [("duration_ps", Some(comparison.duration_ps))]);
        for distance in &comparison.distances {
            faults.not_negative(&place, [(distance.id.words(), Some(distance.value))]);
        }
    }
    for (n, shift) in results.shifts.iter().enumerate() {
        let place = format!("shifts[{n}] {} on {}", shift.model, shift.molecule);
        faults.not_negative(
            &place,
            [
                ("median_ratio", Some(shift.median_ratio)),
                ("max_ratio", Some(shift.max_ratio)),
                ("fraction_beyond", Some(shift.fraction_beyond)),
            ],
        );
    }
    for (n, ladder) in results.timesteps.iter().enumerate() {
        let place = format!("timesteps[{n}] {} on {}", ladder.model, ladder.molecule);
        if let Some(safe_fs) = ladder.largest_safe_fs {
            faults.positive(&place, "largest_safe_fs", safe_fs);
        }
    }
}
