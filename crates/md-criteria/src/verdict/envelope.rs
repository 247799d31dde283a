//! Conditions under which a model completed its runs.

use std::collections::BTreeSet;

use md_results::{Envelope, FailureBound, Model, Results, Run, RunFate};

use crate::statistics::{is_at_its_temperature, longest_conditions, survival};

/// Returns the conditions covered by the finished NVE runs of a model.
pub(super) fn envelope(results: &Results, model: &Model) -> Envelope {
    let runs: Vec<&Run> = results.runs.iter().filter(|r| r.model == model.name && r.is_nve()).collect();
    let all_finished = |same: &dyn Fn(&Run) -> bool| {
        let mut chosen = runs.iter().filter(|r| same(r)).peekable();
        chosen.peek().is_some() && chosen.all(|r| r.fate == RunFate::Finished)
    };
    let mut named: Vec<f64> = runs.iter().map(|r| r.temperature_k).collect();
    named.sort_by(f64::total_cmp);
    named.dedup();
    named.retain(|k| all_finished(&|r| r.temperature_k == *k));
    let (temperatures_k, measured_k) = named.iter().filter_map(|k| Some((*k, measured(&runs, *k)?))).unzip();
    let names: Vec<String> =
        model.molecules.iter().filter(|name| all_finished(&|r| r.molecule == **name)).cloned().collect();
    let known: BTreeSet<&String> = names.iter().collect();
    let molecules = || results.molecules.iter().filter(|m| known.contains(&m.name));
    let atoms = molecules().map(|m| m.atoms);
    let elements: BTreeSet<&String> = molecules().flat_map(|m| &m.elements).collect();
    let ladders = || results.timesteps.iter().filter(|l| l.model == model.name);
    let safe: Option<Vec<f64>> = ladders().map(|l| l.largest_safe_fs).collect();
    // The shortest of the runs that count: others serve other purposes.
    let of_molecule =
        |name: &String| -> Vec<&Run> { runs.iter().copied().filter(|r| r.molecule == *name).collect() };
    let counted: Vec<&Run> =
        names.iter().flat_map(|name| longest_conditions(&of_molecule(name)).concat()).collect();
    let least = |value: &dyn Fn(&Run) -> f64| counted.iter().map(|r| value(r)).min_by(f64::total_cmp);
    Envelope {
        temperatures_k,
        measured_k,
        timestep_fs: least(&|r| r.timestep_fs),
        duration_ps: least(&Run::done_ps),
        elements: elements.into_iter().cloned().collect(),
        atoms: atoms.clone().min().zip(atoms.max()).map(|(fewest, most)| [fewest, most]),
        failure_bounds: failure_bounds(results, model, &runs),
        largest_safe_timestep_fs: safe.and_then(|all| all.into_iter().min_by(f64::total_cmp)),
        molecules: names,
    }
}

/// Returns how often each molecule may fail at the hottest temperature that one of its runs was at.
fn failure_bounds(results: &Results, model: &Model, runs: &[&Run]) -> Vec<FailureBound> {
    let of_molecule = |molecule: &String| {
        let own = runs.iter().copied().filter(|r| r.molecule == *molecule && is_at_its_temperature(r));
        let hottest_k = own.clone().map(|r| r.temperature_k).max_by(f64::total_cmp)?;
        let hottest: Vec<&Run> = own.filter(|r| r.temperature_k == hottest_k).collect();
        let found = survival(&hottest).ok()??;
        Some(FailureBound {
            molecule: molecule.clone(),
            temperature_k: hottest_k,
            observed_ps: found.observed_ps,
            failures: found.failures,
            rate_upper_per_ns: found.rate_upper_per_ns,
        })
    };
    let planned = model.molecules.iter().filter(|name| results.molecules.iter().any(|m| m.name == **name));
    planned.filter_map(of_molecule).collect()
}

/// Lowest and highest mean temperature of the runs named after a temperature that are at it, K.
fn measured(runs: &[&Run], named_k: f64) -> Option<[f64; 2]> {
    let at_it = runs.iter().filter(|r| r.temperature_k == named_k && is_at_its_temperature(r));
    let means: Vec<f64> = at_it.filter_map(|r| Some(r.temperature.as_ref()?.mean_k)).collect();
    let lowest = means.iter().copied().min_by(f64::total_cmp)?;
    Some([lowest, means.into_iter().max_by(f64::total_cmp)?])
}
