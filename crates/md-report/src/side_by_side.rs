//! Comparison of the models of a campaign.

use std::collections::{BTreeMap, BTreeSet};

use md_results::{Model, Results, Role, Speed};

/// Size and speed of a candidate. Values that were not measured are absent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SideBySide<'a> {
    pub(crate) model: &'a Model,
    /// Number of parameters of the first candidate divided by that of this one.
    pub(crate) compression: Option<f64>,
    /// Speed on the molecule of [`timed_on`].
    pub(crate) speed: Option<&'a Speed>,
}

/// Returns the largest molecule that a candidate was timed on, and its number of atoms.
pub(crate) fn timed_on(results: &Results) -> Option<(&str, usize)> {
    let names: BTreeSet<&str> = candidates(results).map(|m| m.name.as_str()).collect();
    let timed = results.speed.iter().filter(|s| names.contains(s.model.as_str()));
    timed.max_by_key(|s| s.atoms).map(|s| (s.molecule.as_str(), s.atoms))
}

/// Returns a row for each candidate.
pub(crate) fn side_by_side(results: &Results) -> impl Iterator<Item = SideBySide<'_>> {
    let molecule = timed_on(results);
    let first = candidates(results).next().and_then(|m| m.parameters);
    let speeds = speeds(results);
    candidates(results).map(move |model| SideBySide {
        model,
        compression: first.zip(model.parameters).filter(|(_, n)| *n > 0).map(|(a, b)| a as f64 / b as f64),
        speed: molecule.and_then(|(molecule, _)| speeds.get(&(model.name.as_str(), molecule)).copied()),
    })
}

/// Returns the models that are judged.
pub(crate) fn candidates(results: &Results) -> impl Iterator<Item = &Model> {
    results.models.iter().filter(|m| m.role == Role::Candidate)
}

/// Returns the measurements with the fewest systems and threads, by model and molecule.
pub(crate) fn speeds(results: &Results) -> BTreeMap<(&str, &str), &Speed> {
    let mut all: BTreeMap<(&str, &str), &Speed> = BTreeMap::new();
    for speed in &results.speed {
        let known = all.entry((&speed.model, &speed.molecule)).or_insert(speed);
        if (speed.batch, speed.threads) < (known.batch, known.threads) {
            *known = speed;
        }
    }
    all
}
