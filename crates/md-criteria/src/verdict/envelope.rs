//! Conditions under which a model completed its runs.

use std::collections::BTreeSet;

use md_results::{Envelope, Model, Results, Run, RunFate};

/// Returns the conditions covered by the finished NVE runs of a model.
pub(super) fn envelope(results: &Results, model: &Model) -> Envelope {
    let runs: Vec<&Run> = results.runs.iter().filter(|r| r.model == model.name && r.is_nve()).collect();
    let all_finished = |same: &dyn Fn(&Run) -> bool| {
        let mut chosen = runs.iter().filter(|r| same(r)).peekable();
        chosen.peek().is_some() && chosen.all(|r| r.fate == RunFate::Finished)
    };
    let mut temperatures: Vec<f64> = runs.iter().map(|r| r.temperature_k).collect();
    temperatures.sort_by(f64::total_cmp);
    temperatures.dedup();
    let finished = || runs.iter().filter(|r| r.fate == RunFate::Finished);
    let names: Vec<String> =
        model.molecules.iter().filter(|name| all_finished(&|r| r.molecule == **name)).cloned().collect();
    let molecules = || results.molecules.iter().filter(|m| names.contains(&m.name));
    let atoms = molecules().map(|m| m.atoms);
    let elements: BTreeSet<&String> = molecules().flat_map(|m| &m.elements).collect();
    let ladders = || results.timesteps.iter().filter(|l| l.model == model.name);
    let safe: Option<Vec<f64>> = ladders().map(|l| l.largest_safe_fs).collect();
    Envelope {
        temperatures_k: temperatures
            .into_iter()
            .filter(|t| all_finished(&|r| r.temperature_k == *t))
            .collect(),
        timestep_fs: finished().map(|r| r.timestep_fs).max_by(f64::total_cmp),
        duration_ps: finished().map(|r| r.done_ps()).max_by(f64::total_cmp),
        elements: elements.into_iter().cloned().collect(),
        atoms: atoms.clone().min().zip(atoms.max()).map(|(fewest, most)| [fewest, most]),
        largest_safe_timestep_fs: safe.and_then(|all| all.into_iter().min_by(f64::total_cmp)),
        molecules: names,
    }
}
