//! Functions that reduce recorded evidence to one number per criterion.

use md_results::{
    DecidableBy, DistanceId, Evaluation, Failure, GateId, Run, RunFate, RunThermal, Speed, Stage,
};

use super::{Finding, Subject, Uncertainty};
use crate::statistics::{self, is_at_its_temperature};

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Returns a missing finding. Its reason is a recorded failure of the stage or of loading, or else `usual`.
fn missing(s: &Subject<'_>, stage: Stage, usual: impl Fn() -> String) -> Finding {
    let failure = failure(s, stage).or_else(|| failure(s, Stage::Load));
    let left_out = || match s.results.campaign.only.as_slice() {
        [] => usual(),
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
    missing(s, Stage::Relaxation, || "no NVE runs".to_owned())
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
        if lowest.as_ref().is_none_or(|(k, _)| reached_k < *k) {
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

/// Returns the mean drift of the replicas at the temperature whose interval extends farthest from zero.
pub(super) fn drift_over_replicas(s: &Subject<'_>) -> Finding {
    let runs: Vec<&Run> = s.nve_runs().collect();
    let has_drift = |r: &Run| r.energy.as_ref().is_some_and(|e| e.drift_mev_per_atom_per_ps.is_some());
    if let Some(run) = runs.iter().find(|r| !has_drift(r)) {
        let why = run.fate_reason.as_deref().unwrap_or("it is too short for a slope");
        return Finding::Missing(format!("run {} has no such number: {why}", run.id));
    }
    let mut worst: Option<(f64, Finding)> = None;
    for group in statistics::longest_conditions(&runs) {
        let drift = match statistics::drift(&group) {
            Ok(drift) => drift,
            Err(error) => return Finding::Missing(error.to_string()),
        };
        let [low, high] = drift.interval;
        let reach = low.abs().max(high.abs());
        if worst.as_ref().is_none_or(|(r, _)| reach > *r) {
            let nearest = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
            let uncertainty = Uncertainty {
                standard_error: drift.standard_error,
                interval: [nearest, reach],
                n: group.len(),
                decidable_by: DecidableBy::Replicas,
            };
            let plural = if group.len() == 1 { "run" } else { "replicas" };
            let detail = format!("{} K, {} {plural}", group[0].temperature_k, group.len());
            worst = Some((
                reach,
                Finding::Value { value: drift.mean.abs(), uncertainty: Some(uncertainty), detail },
            ));
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
        let uncertainty = thermal.temperature_standard_error_percent.map(|standard_error| Uncertainty {
            standard_error,
            interval: [
                (value - statistics::Z_95 * standard_error).max(0.0),
                value + statistics::Z_95 * standard_error,
            ],
            n: 1,
            decidable_by: DecidableBy::Duration,
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

pub(super) fn comparison(s: &Subject<'_>, id: DistanceId) -> Finding {
    let found = s
        .results
        .comparisons
        .iter()
        .filter(|c| c.model == s.model && c.molecule == s.molecule)
        .find_map(|c| Some((c, c.distances.iter().find(|d| d.id == id)?)));
    match found {
        Some((comparison, distance)) => Finding::Value {
            value: distance.value,
            uncertainty: None,
            detail: format!(
                "{:.1} ps; halves of the reference differ by {}",
                comparison.duration_ps,
                md_results::number(distance.floor)
            ),
        },
        None => missing(s, Stage::Comparison, || {
            format!("no reference dynamics: give the molecule '{}' a `trajectory`", s.molecule)
        }),
    }
}

pub(super) fn shift(s: &Subject<'_>) -> Finding {
    match s.records.shifts.first() {
        Some(shift) => Finding::Value {
            value: shift.median_ratio,
            uncertainty: None,
            detail: format!(
                "{} visited frames, {:.0} % farther than 95 % of the reference frames are from each other",
                shift.n_visited,
                100.0 * shift.fraction_beyond
            ),
        },
        None => missing(s, Stage::Shift, || {
            format!("no labelled frames: give the molecule '{}' a `reference`", s.molecule)
        }),
    }
}

/// Returns the evaluations on labelled frames; none if any set of frames failed, since it might be the worst.
fn evaluations<'a>(s: &Subject<'a>) -> impl Iterator<Item = &'a Evaluation> + use<'a> {
    let Subject { records, .. } = *s;
    let complete = failure(s, Stage::Evaluation).is_none();
    records.evaluations.iter().copied().filter(move |_| complete)
}

/// Describes how many frames of a file were used and why others were left out.
fn counted(n: usize, evaluation: &Evaluation) -> String {
    let of = if n == evaluation.n_frames { String::new() } else { format!(" of {}", evaluation.n_frames) };
    format!("{n}{of} frames of {}{}", file_name(&evaluation.frames), evaluation.left_out("; "))
}

/// Returns the force error; among several sets of frames, the largest.
pub(super) fn force_rmse(s: &Subject<'_>) -> Finding {
    let labelled = evaluations(s).filter_map(|e| Some((e, e.force.as_ref()?)));
    match labelled.max_by(|(_, a), (_, b)| a.rmse_ev_per_angstrom.total_cmp(&b.rmse_ev_per_angstrom)) {
        // The scatter between frames is unknown.
        Some((evaluation, force)) if force.n_frames < 2 => Finding::Missing(format!(
            "one labelled frame of {} has no uncertainty: give more{}",
            file_name(&evaluation.frames),
            evaluation.left_out("; ")
        )),
        Some((evaluation, force)) => {
            let value = force.rmse_ev_per_angstrom;
            let uncertainty = force.rmse_standard_error_ev_per_angstrom.map(|standard_error| Uncertainty {
                standard_error,
                interval: [
                    (value - statistics::Z_95 * standard_error).max(0.0),
                    value + statistics::Z_95 * standard_error,
                ],
                n: force.n_frames,
                decidable_by: DecidableBy::Frames,
            });
            let detail = counted(force.n_frames, evaluation);
            Finding::Value { value, uncertainty, detail }
        }
        None => missing(s, Stage::Evaluation, || {
            format!("no labelled frames: give the molecule '{}' a `reference` with forces", s.molecule)
        }),
    }
}

/// Returns the deviation of the force slope from 1; among several sets of frames, the largest.
pub(super) fn force_slope_error(s: &Subject<'_>) -> Finding {
    let labelled = evaluations(s).filter_map(|e| {
        let force = e.force.as_ref()?;
        Some((e, force, force.slope?))
    });
    match labelled.max_by(|a, b| (a.2 - 1.0).abs().total_cmp(&(b.2 - 1.0).abs())) {
        Some((evaluation, force, slope)) => {
            let Some(standard_error) = force.slope_standard_error else {
                return Finding::Missing(format!(
                    "the slope over the frames of {} has no uncertainty: give more of them",
                    file_name(&evaluation.frames)
                ));
            };
            let value = (slope - 1.0).abs();
            let reach = statistics::Z_95 * standard_error;
            Finding::Value {
                value,
                uncertainty: Some(Uncertainty {
                    standard_error,
                    interval: [(value - reach).max(0.0), value + reach],
                    n: force.n_frames,
                    decidable_by: DecidableBy::Frames,
                }),
                detail: format!(
                    "forces are {} times those of {}",
                    md_results::number(slope),
                    counted(force.n_frames, evaluation)
                ),
            }
        }
        None => missing(s, Stage::Evaluation, || {
            format!("no labelled frames: give the molecule '{}' a `reference` with forces", s.molecule)
        }),
    }
}

pub(super) fn energy_rmse(s: &Subject<'_>) -> Finding {
    let labelled = evaluations(s).filter_map(|e| Some((e, e.energy.as_ref()?)));
    match labelled.max_by(|(_, a), (_, b)| a.rmse_mev_per_atom.total_cmp(&b.rmse_mev_per_atom)) {
        Some((evaluation, energy)) => Finding::Value {
            value: energy.rmse_mev_per_atom,
            uncertainty: None,
            detail: counted(energy.n_frames, evaluation),
        },
        None => missing(s, Stage::Evaluation, || {
            format!("no two labelled frames with energies: give the molecule '{}' a `reference`", s.molecule)
        }),
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

/// Whether no bonds were found in the structure of a molecule.
fn without_bonds(s: &Subject<'_>) -> bool {
    s.results.molecules.iter().any(|m| m.name == s.molecule && m.bonds == 0)
}

/// Whether the campaign gives reference frequencies of the molecule.
pub(super) fn has_reference_frequencies(s: &Subject<'_>) -> bool {
    let of_molecule = |m: &&md_results::Molecule| m.name == s.molecule;
    s.results.molecules.iter().find(of_molecule).is_some_and(|m| !m.reference_frequencies_per_cm.is_empty())
}

/// Returns the NVE runs by temperature: the longest at each, without those that the program failed to run.
fn by_temperature<'a>(s: &Subject<'a>) -> Vec<Vec<&'a Run>> {
    let made: Vec<&Run> = s.nve_runs().filter(|run| run.fate != RunFate::Failed).collect();
    statistics::longest_conditions(&made)
}

/// Smallest ratio of distinct temperatures: closer ones are hidden by the fluctuations in molecules of a few atoms.
const APART: f64 = 1.1;

/// Lowest temperature that counts, K: colder molecules are nearly at rest.
const COLDEST_K: f64 = 50.0;

/// Describes runs at one temperature: their number, or why none of them counts.
struct AtTemperature<'a> {
    named_k: f64,
    /// Those at that temperature.
    runs: Vec<&'a Run>,
    /// Those that are not.
    off: Vec<&'a Run>,
}

fn at_temperatures<'a>(s: &Subject<'a>) -> Vec<AtTemperature<'a>> {
    let split = |group: Vec<&'a Run>| {
        let (runs, off): (Vec<&Run>, Vec<&Run>) = group.iter().partition(|run| is_at_its_temperature(run));
        AtTemperature { named_k: group[0].temperature_k, runs, off }
    };
    by_temperature(s).into_iter().map(split).collect()
}

impl AtTemperature<'_> {
    /// Names the runs that are not at that temperature, and what would bring them there; `None` if all are.
    fn off(&self) -> Option<String> {
        let kelvin = |run: &&Run| run.temperature.as_ref().map(|found| format!("{:.0} K", found.mean_k));
        let kelvins: Vec<String> = self.off.iter().filter_map(kelvin).collect();
        let (off, all) = (kelvins.len(), self.off.len() + self.runs.len());
        let as_given = self.off.iter().any(|run| !run.relaxed && run.equilibrated_ps.is_none());
        let advice = if as_given { " (give relax = true or equilibrate_ps)" } else { "" };
        (off > 0).then(|| {
            format!(
                "{off} of {all} runs at {} K do not count, with a mean temperature of {}{advice}",
                self.named_k,
                kelvins.join(" and ")
            )
        })
    }
}

/// Appends what is said of runs that are not at their temperature.
fn with_off(detail: String, groups: &[AtTemperature<'_>]) -> String {
    let off = groups.iter().filter_map(AtTemperature::off);
    std::iter::once(detail).chain(off).collect::<Vec<_>>().join("; ")
}

pub(super) fn temperatures(s: &Subject<'_>) -> Finding {
    let groups = at_temperatures(s);
    if groups.is_empty() {
        return no_runs(s);
    }
    let mut kelvins: Vec<f64> = groups.iter().filter(|g| !g.runs.is_empty()).map(|g| g.named_k).collect();
    kelvins.sort_by(f64::total_cmp);
    let named: Vec<String> = kelvins.iter().map(f64::to_string).collect();
    let mut apart: Vec<f64> = Vec::new();
    for kelvin in kelvins.into_iter().filter(|k| *k >= COLDEST_K) {
        if apart.last().is_none_or(|last| kelvin >= APART * last) {
            apart.push(kelvin);
        }
    }
    let detail =
        if named.is_empty() { "no run counts".to_owned() } else { format!("runs at {} K", named.join(", ")) };
    Finding::Amount { value: apart.len() as f64, detail: with_off(detail, &groups) }
}

pub(super) fn hottest_temperature(s: &Subject<'_>) -> Finding {
    let groups = at_temperatures(s);
    if groups.is_empty() {
        return no_runs(s);
    }
    let kelvins = groups.iter().filter(|g| !g.runs.is_empty()).map(|g| g.named_k);
    let (value, detail) = match kelvins.max_by(f64::total_cmp) {
        Some(value) => (value, format!("the hottest runs are at {value} K")),
        None => (0.0, "no run is at its temperature".to_owned()),
    };
    Finding::Amount { value, detail }
}

pub(super) fn replicas(s: &Subject<'_>) -> Finding {
    match at_temperatures(s).into_iter().min_by_key(|group| group.runs.len()) {
        Some(fewest) => {
            let (n, kelvins) = (fewest.runs.len(), fewest.named_k);
            let plural = if n == 1 { "run" } else { "runs" };
            let detail = with_off(format!("{n} {plural} at {kelvins} K"), &[fewest]);
            Finding::Amount { value: n as f64, detail }
        }
        None => no_runs(s),
    }
}

/// Returns the ratio of the time step to the largest safe one. Runs above the safe step are no evidence about safe
/// steps; the campaign chooses the step, not the model.
pub(super) fn timestep_over_safe(s: &Subject<'_>) -> Finding {
    // Each integrator has its own safe step; the largest ratio decides.
    let mut integrators: Vec<Option<&str>> = s.nve_runs().map(|run| run.integrator.as_deref()).collect();
    integrators.sort_unstable();
    integrators.dedup();
    let findings = integrators.into_iter().map(|integrator| timestep_over_safe_of(s, integrator));
    let ratio = |finding: &Finding| match finding {
        Finding::Amount { value, .. } => *value,
        _ => f64::INFINITY,
    };
    findings.max_by(|a, b| ratio(a).total_cmp(&ratio(b))).unwrap_or_else(|| no_runs(s))
}

fn timestep_over_safe_of(s: &Subject<'_>, integrator: Option<&str>) -> Finding {
    let runs = s.nve_runs().filter(|run| run.integrator.as_deref() == integrator);
    let Some(longest_fs) = runs.map(|run| run.timestep_fs).max_by(f64::total_cmp) else {
        return no_runs(s);
    };
    let ladders = || s.records.timesteps.iter().filter(|l| l.integrator.as_deref() == integrator);
    if ladders().next().is_none() {
        return missing(s, Stage::Timesteps, || "the safe time step was not measured".to_owned());
    }
    let safe: Option<Vec<f64>> = ladders().map(|l| l.largest_safe_fs).collect();
    match safe.and_then(|all| all.into_iter().min_by(f64::total_cmp)) {
        Some(safe_fs) => Finding::Amount {
            value: longest_fs / safe_fs,
            detail: if longest_fs <= safe_fs {
                format!("runs at {longest_fs} fs, safe up to {safe_fs} fs")
            } else {
                format!(
                    "runs at {longest_fs} fs, but the longest safe step is {safe_fs} fs: set timestep_fs = {safe_fs} or less"
                )
            },
        },
        None => Finding::Missing("no time step of the ladder was safe".to_owned()),
    }
}

pub(super) fn runs_left_out(s: &Subject<'_>) -> Finding {
    let own = |l: &&md_results::LeftOut| {
        l.model == s.model && l.molecule == s.molecule && l.temperature_k <= s.max_temperature_k
    };
    let left_out = || s.results.campaign.left_out.iter().filter(own);
    let one = |l: &md_results::LeftOut| {
        let replicas: Vec<String> = l.replicas.iter().map(u32::to_string).collect();
        format!("{} at {} K, replica {}", l.ensemble, l.temperature_k, replicas.join(", "))
    };
    let named: Vec<String> = left_out().map(one).collect();
    Finding::Amount {
        value: left_out().map(|l| l.replicas.len()).sum::<usize>() as f64,
        detail: if named.is_empty() { "none".to_owned() } else { named.join("; ") },
    }
}
