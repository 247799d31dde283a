//! Comparison of the models of a campaign.

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
    let of_candidate = |s: &&Speed| candidates(results).any(|m| m.name == s.model);
    let timed = results.speed.iter().filter(of_candidate);
    timed.max_by_key(|s| s.atoms).map(|s| (s.molecule.as_str(), s.atoms))
}

/// Returns a row for each candidate.
pub(crate) fn side_by_side(results: &Results) -> impl Iterator<Item = SideBySide<'_>> {
    let molecule = timed_on(results);
    let first = candidates(results).next().and_then(|m| m.parameters);
    candidates(results).map(move |model| SideBySide {
        model,
        compression: first.zip(model.parameters).filter(|(_, n)| *n > 0).map(|(a, b)| a as f64 / b as f64),
        speed: molecule.and_then(|(molecule, _)| speed(results, &model.name, molecule)),
    })
}

/// Returns the models that are judged.
pub(crate) fn candidates(results: &Results) -> impl Iterator<Item = &Model> {
    results.models.iter().filter(|m| m.role == Role::Candidate)
}

/// Returns the measurement with the fewest systems and threads.
pub(crate) fn speed<'a>(results: &'a Results, model: &str, molecule: &str) -> Option<&'a Speed> {
    let of_pair = results.speed.iter().filter(|s| s.model == model && s.molecule == molecule);
    of_pair.min_by_key(|s| (s.batch, s.threads))
}
