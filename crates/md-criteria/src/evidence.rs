//! Functions that reduce recorded evidence to one number per criterion.

pub(crate) mod accuracy;
pub(crate) mod amount;

use md_core::units::{BOLTZMANN_EV_PER_K, MEV_PER_EV};
use md_metrics::Estimate;
use md_results::{DecidableBy, Failure, GateId, RelaxationOutcome, Run, RunFate, RunThermal, Speed, Stage};

use super::{Finding, Subject, Uncertainty, reach};
use crate::statistics;

/// Degrees of freedom of a standard error that many samples gave.
const MANY: f64 = 1e6;

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Returns a missing finding. Its reason is a recorded failure of the stage or of loading, or else `usual`.
fn missing(s: &Subject<'_>, stage: Stage, usual: impl Fn() -> String) -> Finding {
    let failure = failure(s, stage).or_else(|| failure(s, Stage::Load));
    let left_out = || match s.results.campaign.only.as_slice() {
        [] => usual(),
        only if s.records.runs.is_empty() => {
            format!("not measured: the campaign was restricted to {}", only.join(", "))
        }
        only => format!("{} (the campaign was restricted to {})", usual(), only.join(", ")),
    };
    Finding::Missing(failure.map_or_else(left_out, |f| f.reason.clone()))
}

/// Returns the recorded failure of the stage.
fn failure<'a>(s: &Subject<'a>, stage: Stage) -> Option<&'a Failure> {
    let own = |f: &&Failure| {
        f.model == s.model && f.molecule.as_deref().is_none_or(|m| m == s.molecule) && f.stage == stage
    };
    s.results.failures.iter().find(own)
}

fn no_runs(s: &Subject<'_>) -> Finding {
    let unsafe_step = s.runs_at_any_step().find_map(|run| {
        let safe_fs = s.safe_fs(run.integrator.as_deref()).filter(|safe_fs| run.timestep_fs > *safe_fs)?;
        Some(format!(
            "runs at {} fs do not count: the longest safe step is {safe_fs} fs: set timestep_fs = {safe_fs} or less",
            run.timestep_fs
        ))
    });
    missing(s, Stage::Relaxation, || unsafe_step.clone().unwrap_or_else(|| "no NVE runs".to_owned()))
}

/// Describes the conditions of a run.
fn place(run: &Run) -> String {
    format!("{} K, replica {}", run.temperature_k, run.replica)
}

/// Returns the survival of the NVE runs; a dissociation under a thermostat counts as a failure as well.
pub(super) fn stable_ps(s: &Subject<'_>) -> Finding {
    if let Some(run) = s.steady_runs().find(|run| run.fate == RunFate::Failed) {
        let why = run.fate_reason.as_deref().unwrap_or("no reason recorded");
        return Finding::Missing(format!("run {} could not be made: {why}", run.id));
    }
    let diverged = |run: &&Run| run.fate == RunFate::Diverged;
    let sooner = |a: &&Run, b: &&Run| a.done_ps().total_cmp(&b.done_ps());
    let first_failure = s.steady_runs().filter(diverged).min_by(sooner).map(|run| {
        let why = run.fate_reason.as_deref().unwrap_or("no reason recorded");
        (run.done_ps(), format!("{}: {why}", place(run)))
    });
    let runs: Vec<&Run> = s.nve_runs().collect();
    let longest = statistics::longest_conditions(&runs).concat();
    let shortest_survivor = longest
        .into_iter()
        .filter(|run| !diverged(run))
        .min_by(sooner)
        .map(|run| (run.done_ps(), run.fate_reason.clone().unwrap_or_default()));
    match s.nve_runs().count() {
        0 => no_runs(s),
        n => Finding::Survived { first_failure, shortest_survivor, n },
    }
}

pub(super) fn failure_rate_per_ns(s: &Subject<'_>) -> Finding {
    let runs: Vec<&Run> = s.nve_runs().collect();
    match statistics::survival(&runs) {
        Ok(Some(survival)) => Finding::Value {
            value: survival.rate_upper_per_ns,
            uncertainty: None,
            detail: survival.statement,
        },
        Ok(None) => no_runs(s),
        Err(error) => Finding::Missing(error.to_string()),
    }
}

pub(super) fn ramp_survival_k(s: &Subject<'_>) -> Finding {
    let mut lowest: Option<(f64, String)> = None;
    for run in s.ramps() {
        let (Some(to_k), RunFate::Diverged | RunFate::Finished) = (run.ramp_to_k, run.fate) else {
            return Finding::Missing(format!("run {} did not end", run.id));
        };
        let broken = run.stability.as_ref().and_then(|b| b.first_broken_bond_ps);
        let until_ps = match (broken, run.fate) {
            (Some(ps), _) => ps,
            (None, RunFate::Diverged) => run.done_ps(),
            _ => run.planned_ps(),
        };
        let reached_k =
            run.temperature_k + (to_k - run.temperature_k) * (until_ps / run.planned_ps()).min(1.0);
        if lowest.as_ref().is_none_or(|(k, _)| reached_k < *k || reached_k.is_nan()) {
            let how = run.fate_reason.clone().or_else(|| broken.map(|_| "a bond broke".to_owned()));
            lowest = Some((reached_k, how.unwrap_or_else(|| "the end of the ramp".to_owned())));
        }
    }
    match lowest {
        Some((value, detail)) => Finding::Value { value, uncertainty: None, detail },
        None => {
            missing(s, Stage::Relaxation, || "no temperature ramps: give a [[run]] with ramp_to_K".to_owned())
        }
    }
}

/// Returns the largest value over the NVE runs; missing if any run lacks it, since that run might be the worst.
pub(super) fn worst_run(s: &Subject<'_>, value: impl Fn(&Run) -> Option<f64>) -> Finding {
    worst_of(s, s.nve_runs(), value, |v, worst| v > worst)
}

/// Returns the largest value over the NVE runs and the runs with a thermostat.
pub(super) fn worst_steady_run(s: &Subject<'_>, value: impl Fn(&Run) -> Option<f64>) -> Finding {
    worst_of(s, s.steady_runs(), value, |v, worst| v > worst)
}

/// Returns the smallest value over the same runs as [`worst_steady_run`].
pub(super) fn lowest_of_steady_runs(s: &Subject<'_>, value: impl Fn(&Run) -> Option<f64>) -> Finding {
    worst_of(s, s.steady_runs(), value, |v, worst| v < worst)
}

fn worst_of<'a>(
    s: &Subject<'_>,
    runs: impl Iterator<Item = &'a Run>,
    value: impl Fn(&Run) -> Option<f64>,
    is_worse: fn(f64, f64) -> bool,
) -> Finding {
    let mut worst: Option<(f64, &Run)> = None;
    for run in runs {
        let Some(v) = value(run) else {
            let why = run.fate_reason.as_deref().unwrap_or("it is not defined there");
            return Finding::Missing(format!("run {} has no such number: {why}", run.id));
        };
        if worst.is_none_or(|(w, _)| is_worse(v, w) || v.is_nan()) {
            worst = Some((v, run));
        }
    }
    match worst {
        Some((value, run)) => Finding::Value { value, uncertainty: None, detail: place(run) },
        None => no_runs(s),
    }
}

/// Returns the mean drift of the replicas, meV/atom/ps, at the temperature whose interval extends farthest from zero.
pub(super) fn drift_over_replicas(s: &Subject<'_>) -> Finding {
    worst_drift(s, &s.nve_runs().collect::<Vec<_>>(), |_| Some(1.0))
}

/// Returns the mean change of the total energy over the runs in percent of their mean kinetic energy, at the temperature whose
/// interval extends farthest from zero.
pub(super) fn drift_of_kinetic_energy(s: &Subject<'_>) -> Finding {
    let Some(molecule) = s.results.molecules.iter().find(|m| m.name == s.molecule) else { return no_runs(s) };
    let warm: Vec<&Run> = s.nve_runs().filter(|run| run.temperature_k >= amount::COLDEST_K).collect();
    worst_drift(s, &warm, |runs| {
        let mut kinetic_mev = 0.0;
        for run in runs {
            let found = run.temperature.as_ref()?;
            kinetic_mev +=
                0.5 * found.degrees_of_freedom as f64 * BOLTZMANN_EV_PER_K * MEV_PER_EV * found.mean_k;
        }
        let longest_ps = runs.iter().map(|run| run.planned_ps()).max_by(f64::total_cmp)?;
        let change_mev = longest_ps * molecule.atoms as f64;
        Some(100.0 * change_mev * runs.len() as f64 / kinetic_mev)
    })
}

/// Returns the mean drift of the replicas times `scale`, which is infinite where nothing moves, at the temperature whose interval extends farthest from zero.
fn worst_drift(s: &Subject<'_>, runs: &[&Run], scale: impl Fn(&[&Run]) -> Option<f64>) -> Finding {
    let has_drift = |r: &Run| r.energy.as_ref().is_some_and(|e| e.drift_mev_per_atom_per_ps.is_some());
    if let Some(run) = runs.iter().find(|r| !has_drift(r)) {
        let why = run.fate_reason.as_deref().unwrap_or("it is too short for a slope");
        return Finding::Missing(format!("run {} has no such number: {why}", run.id));
    }
    let mut worst: Option<(f64, Finding)> = None;
    for group in statistics::longest_conditions(runs) {
        let scale = match scale(&group) {
            Some(scale) if scale.is_finite() => scale,
            Some(_) => return Finding::NotApplicable("one atom alone is at rest".to_owned()),
            None => return Finding::Missing(format!("run {} has no recorded temperature", group[0].id)),
        };
        let drift = match statistics::drift(&group) {
            Ok(drift) => {
                Estimate { value: drift.value * scale, standard_error: drift.standard_error * scale, ..drift }
            }
            Err(error) => return Finding::Missing(error.to_string()),
        };
        let uncertainty = Uncertainty::of_magnitude(drift, group.len(), DecidableBy::Replicas);
        let reach = uncertainty.interval[1];
        if worst.as_ref().is_none_or(|(r, _)| reach > *r || reach.is_nan()) {
            let plural = if group.len() == 1 { "run" } else { "replicas" };
            let detail = format!("{} K, {} {plural}", group[0].temperature_k, group.len());
            let value = drift.value.abs();
            worst = Some((reach, Finding::Value { value, uncertainty: Some(uncertainty), detail }));
        }
    }
    worst.map_or_else(|| no_runs(s), |(_, finding)| finding)
}

fn no_thermostat(s: &Subject<'_>) -> Finding {
    missing(s, Stage::Relaxation, || {
        "no runs with a thermostat: give a [[run]] with ensemble = \"langevin\"".to_owned()
    })
}

/// Returns the largest deviation of the mean kinetic temperature from the target.
pub(super) fn thermostat_temperature(s: &Subject<'_>) -> Finding {
    let mut worst: Option<(f64, Finding)> = None;
    for run in s.thermostat_runs() {
        let Some(thermal) = &run.thermal else {
            return Finding::Missing(format!("run {} has no such number", run.id));
        };
        let value = thermal.temperature_error_percent.abs();
        let uncertainty = thermal.temperature_standard_error_percent.map(|standard_error| {
            let estimate = Estimate { value, standard_error, degrees_of_freedom: MANY };
            Uncertainty::of_magnitude(estimate, 1, DecidableBy::Duration)
        });
        if worst.as_ref().is_none_or(|(w, _)| value > *w || value.is_nan()) {
            worst = Some((value, Finding::Value { value, uncertainty, detail: place(run) }));
        }
    }
    worst.map_or_else(|| no_thermostat(s), |(_, finding)| finding)
}

/// Returns the worst value over the runs with a thermostat; `worse` selects the worse of two.
pub(super) fn thermostat(
    s: &Subject<'_>,
    worse: fn(f64, f64) -> f64,
    value: impl Fn(&RunThermal) -> Option<f64>,
) -> Finding {
    let mut worst: Option<(f64, &Run)> = None;
    for run in s.thermostat_runs() {
        let Some(v) = run.thermal.as_ref().and_then(&value) else {
            return Finding::Missing(format!("run {} has no such number", run.id));
        };
        if worst.is_none_or(|(w, _)| v.is_nan() || worse(v, w) < w) {
            worst = Some((v, run));
        }
    }
    match worst {
        Some((value, run)) => Finding::Value { value, uncertainty: None, detail: place(run) },
        None => no_thermostat(s),
    }
}

pub(super) fn speed(s: &Subject<'_>, value: fn(&Speed) -> f64) -> Finding {
    match s.records.speed.iter().find(|x| x.batch == 1) {
        Some(x) => Finding::Value { value: value(x), uncertainty: None, detail: x.path.clone() },
        None => missing(s, Stage::Speed, || "speed was not measured".to_owned()),
    }
}

pub(super) fn gate(s: &Subject<'_>, id: GateId) -> Finding {
    let Some(gate) = s.records.gates.iter().find(|g| g.id == id) else {
        let usual = match id.stage() {
            Stage::Minimum if id.ceiling_ev().is_some() && without_minimum(s) => {
                "barriers begin in a minimum, and the relaxation did not converge"
            }
            Stage::Minimum if without_minimum(s) => {
                "the relaxation did not converge: there is no minimum to look at"
            }
            Stage::Minimum if id == GateId::RelaxedBonds && without_bonds(s) => "the structure has no bonds",
            Stage::Minimum => "the minimum was not looked at",
            _ => "the gate was not measured",
        };
        return missing(s, id.stage(), || usual.to_owned());
    };
    // A measured value takes precedence over a reason not to measure.
    if let (Some(reason), None) = (&gate.not_applicable, gate.value) {
        return Finding::NotApplicable(reason.clone());
    }
    Finding::Value {
        value: gate.value.unwrap_or(f64::NAN),
        // The error of the measurement is a bound, not a standard deviation.
        uncertainty: gate.value.zip(gate.standard_error.filter(|&error| error > 0.0)).map(
            |(value, error)| Uncertainty {
                standard_error: error,
                interval: [(value - error).max(0.0), value + error],
                degrees_of_freedom: None,
                n: 1,
                decidable_by: DecidableBy::Computation,
            },
        ),
        detail: match gate.value {
            Some(_) => gate.detail.clone(),
            None => "the model's answer was not finite".to_owned(),
        },
    }
}

/// Returns a barrier in units of the reach of the use.
pub(super) fn barrier(s: &Subject<'_>, id: GateId) -> Finding {
    match s.records.gates.iter().find(|g| g.id == id) {
        Some(found) if found.not_applicable.is_none() || found.value.is_some() => {
            let ev = found.value.unwrap_or(f64::NAN);
            reach::over_reach(s.reach, id, ev, found.standard_error, &found.detail)
        }
        _ => gate(s, id),
    }
}

/// Whether the relaxation of a molecule did not converge.
fn without_minimum(s: &Subject<'_>) -> bool {
    let own = |r: &&md_results::Relaxation| r.model == s.model && r.molecule == s.molecule;
    s.results.relaxations.iter().find(own).is_some_and(|r| r.outcome != RelaxationOutcome::Converged)
}

/// Whether no bonds were found in the structure of a molecule.
fn without_bonds(s: &Subject<'_>) -> bool {
    s.results.molecules.iter().any(|m| m.name == s.molecule && m.bonds == 0)
}

/// Whether the campaign gives reference frequencies of the molecule.
pub(super) fn has_reference_frequencies(s: &Subject<'_>) -> bool {
    let of_molecule = |m: &&md_results::Molecule| m.name == s.molecule;
    s.results.molecules.iter().find(of_molecule).is_some_and(|m| !m.reference_frequencies_per_cm.is_empty())
}
