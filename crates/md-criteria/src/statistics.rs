//! Applies the statistics of md-metrics to run records.

use std::collections::BTreeMap;

use md_metrics::{Estimate, Lifetime, MetricError, pooled_replicas, survival as survival_of};
use md_results::{Run, RunFate, Survival};

/// Confidence of every interval and bound.
pub const CONFIDENCE: f64 = 0.95;

/// Largest deviation of the mean kinetic temperature of a run from that of its name, as a part of it.
const OFF: f64 = 0.1;

/// The same for molecules of at most [`FEW_DEGREES`] degrees of freedom, 5 atoms: with so few vibrations the share of the
/// kinetic energy depends on which of them have the energy.
const OFF_WITH_FEW: f64 = 0.2;
const FEW_DEGREES: usize = 9;

/// Whether the mean kinetic temperature of a run is that of its name. A run that diverged has been at it until then; one
/// atom alone is at rest at any temperature; a run of no recorded temperature is at none.
pub fn is_at_its_temperature(run: &Run) -> bool {
    match &run.temperature {
        _ if run.fate == RunFate::Diverged => true,
        Some(found) if found.degrees_of_freedom == 0 => true,
        Some(found) => {
            let most = if found.degrees_of_freedom <= FEW_DEGREES { OFF_WITH_FEW } else { OFF };
            (found.mean_k / run.temperature_k - 1.0).abs() <= most
        }
        None => false,
    }
}

/// Groups runs that differ only in their replica number, in the order of their first runs.
pub fn conditions<'a>(runs: &[&'a Run]) -> Vec<Vec<&'a Run>> {
    let mut groups: Vec<Vec<&Run>> = Vec::new();
    let mut places = BTreeMap::new();
    for &run in runs {
        let condition = (
            run.molecule.as_str(),
            [run.temperature_k, run.timestep_fs].map(f64::to_bits),
            run.steps_planned,
            run.equilibrated_ps.map(f64::to_bits),
            run.relaxed,
            run.integrator.as_deref(),
        );
        let place = *places.entry(condition).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    groups
}

/// Returns, for each temperature, the condition with the longest planned duration and, among those, the most replicas.
/// Shorter runs serve other purposes.
pub fn longest_conditions<'a>(runs: &[&'a Run]) -> Vec<Vec<&'a Run>> {
    let mut longest: Vec<Vec<&Run>> = Vec::new();
    let mut places = BTreeMap::new();
    for group in conditions(runs) {
        let rank = |g: &[&Run]| (g[0].planned_ps(), g.len());
        let place = *places.entry(group[0].temperature_k.to_bits()).or_insert(longest.len());
        match longest.get_mut(place) {
            Some(known) if rank(&group) > rank(known) => *known = group,
            Some(_) => {}
            None => longest.push(group),
        }
    }
    longest
}

/// Returns the mean drift of the total energy over replicas, meV/atom/ps, from the drift and its error of each.
///
/// # Errors
/// [`MetricError`] if no run has a drift, or a drift is not finite.
pub fn drift(replicas: &[&Run]) -> Result<Estimate, MetricError> {
    let estimate = |run: &&Run| {
        let energy = run.energy.as_ref()?;
        Some(Estimate {
            value: energy.drift_mev_per_atom_per_ps?,
            standard_error: energy.drift_standard_error.unwrap_or(f64::INFINITY),
            degrees_of_freedom: energy.drift_degrees_of_freedom.unwrap_or(0.0),
        })
    };
    let estimates: Vec<Estimate> = replicas.iter().filter_map(estimate).collect();
    match estimates.as_slice() {
        // A run too short to have an error has an interval without end.
        [one] if one.value.is_finite() => Ok(*one),
        all => pooled_replicas(all),
    }
}

/// Returns the survival statistics of runs, `None` if no run was made. A run fails when a bond breaks or it diverges.
/// The caller fills in model and molecule.
///
/// # Errors
/// [`MetricError`] when nothing was simulated.
pub fn survival(runs: &[&Run]) -> Result<Option<Survival>, MetricError> {
    let lifetimes: Vec<Lifetime> = runs
        .iter()
        .filter(|r| r.fate != RunFate::Failed)
        .map(|run| {
            let broken = run.stability.as_ref().and_then(|s| s.first_broken_bond_ps);
            // A run that fails before its first step counts as half a step: a rate needs a positive time.
            let done_ps = run.done_ps().max(0.5e-3 * run.timestep_fs);
            Lifetime {
                time_ps: broken.map_or(done_ps, |ps| ps.min(done_ps)),
                failed: broken.is_some() || run.fate == RunFate::Diverged,
            }
        })
        .collect();
    if lifetimes.is_empty() {
        return Ok(None);
    }
    let found = survival_of(&lifetimes, CONFIDENCE)?;
    Ok(Some(Survival {
        model: String::new(),
        molecule: None,
        runs: found.runs,
        failures: found.failures,
        observed_ps: found.observed_ps,
        first_failure_ps: found.failure_span_ps.map(|[first, _]| first),
        rate_per_ns: found.rate_per_ns,
        rate_upper_per_ns: found.rate_upper_per_ns,
        curve: found.curve.iter().map(|p| [p.time_ps, p.surviving, p.bounds[0], p.bounds[1]]).collect(),
        statement: found.to_string(),
    }))
}
