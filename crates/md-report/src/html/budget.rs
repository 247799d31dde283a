//! How much of a large campaign a page shows, so that a browser can open it: what fails comes first.

use std::collections::{BTreeMap, BTreeSet};

use md_results::{Check, Model, Results, Status, worst};

/// Runs with curves and moving atoms on a page.
const CURVES: usize = 120;
/// Largest number of them for each model and molecule; readers cannot tell more apart.
pub(super) const MOST_CURVES: usize = 24;
/// Lines of tables of runs on a page.
const RUNS: usize = 1500;
/// Panels of a model on a molecule.
const PANELS: usize = 48;
/// Models with tables of criteria, findings and a panel of their own.
const MODELS: usize = 24;
/// Lines of checks below their criteria.
const CHECKS: usize = 4000;
/// Molecules with a picture of accuracy against speed, and rows of other tables.
pub(super) const PICTURES: usize = 24;
pub(super) const ROWS: usize = 1000;

/// Share of a panel: a model on a molecule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// Number of runs that are drawn.
    pub curves: usize,
    /// Number of runs that are listed.
    pub runs: usize,
}

/// What of a campaign is shown.
#[derive(Debug)]
pub(super) struct Budget<'a> {
    /// Share of each panel.
    pub share: Share,
    /// Lines below each criterion.
    pub checks: usize,
    pairs: BTreeSet<(&'a str, &'a str)>,
    models: BTreeSet<&'a str>,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

impl<'a> Budget<'a> {
    /// Divides a page among the records of a campaign.
    pub(super) fn new(results: &'a Results) -> Self {
        let mut of_pairs: BTreeMap<(&str, &str), Status> = BTreeMap::new();
        let mut criteria = BTreeSet::new();
        for model in &results.models {
            for check in &model.checks {
                let known = of_pairs.entry((&model.name, &check.molecule)).or_insert(Status::NotApplicable);
                *known = check.status.max(*known);
            }
        }
        let status_of = |model: &str, molecule: &str| {
            of_pairs.get(&(model, molecule)).copied().unwrap_or(Status::Skipped)
        };
        let pairs: Vec<((&str, &str), Status)> = results
            .models
            .iter()
            .flat_map(|m| m.molecules.iter().map(|molecule| (m.name.as_str(), molecule.as_str())))
            .map(|(model, molecule)| ((model, molecule), status_of(model, molecule)))
            .collect();
        let models: Vec<(&str, Status)> =
            results.models.iter().map(|m| (m.name.as_str(), worst(m.checks.iter()))).collect();
        let mut notes = Vec::new();
        let models = worst_first(models, MODELS, "models have tables of their own", &mut notes);
        let pairs = worst_first(pairs, PANELS, "pairs of a model and a molecule have a panel", &mut notes);
        for model in results.models.iter().filter(|m| models.contains(m.name.as_str())) {
            criteria.extend(model.checks.iter().map(|c| (&model.name, &c.use_name, &c.id)));
        }
        let panels = pairs.len().max(1);
        let share = Share {
            curves: CURVES.div_ceil(panels).min(MOST_CURVES),
            runs: RUNS.div_ceil(panels).max(MOST_CURVES),
        };
        Budget { share, checks: CHECKS.div_ceil(criteria.len().max(1)), pairs, models, notes }
    }

    /// Whether a model on a molecule has a panel.
    pub(super) fn has_panel(&self, model: &str, molecule: &str) -> bool {
        self.pairs.contains(&(model, molecule))
    }

    /// Returns the models that have tables of their own.
    pub(super) fn models<'r>(&self, results: &'r Results) -> impl Iterator<Item = &'r Model> {
        results.models.iter().filter(|m| self.models.contains(m.name.as_str()))
    }

    /// Returns the checks of a criterion that have a line, in their order: those with the worst status.
    pub(super) fn lines<'c>(&self, checks: &[&'c Check]) -> Vec<&'c Check> {
        let mut order: Vec<usize> = (0..checks.len()).collect();
        if checks.len() > self.checks {
            order.sort_by_key(|&k| std::cmp::Reverse(checks[k].status));
            order.truncate(self.checks);
            order.sort_unstable();
        }
        order.into_iter().map(|k| checks[k]).collect()
    }
}

/// Returns at most `most` names, those with the worst status, and notes how many were left out.
fn worst_first<T: Ord>(
    mut all: Vec<(T, Status)>,
    most: usize,
    what: &str,
    notes: &mut Vec<String>,
) -> BTreeSet<T> {
    if all.len() > most {
        notes.push(format!("{most} of {} {what}: those that fail first; results.json has all", all.len()));
        all.sort_by_key(|(_, status)| std::cmp::Reverse(*status));
        all.truncate(most);
    }
    all.into_iter().map(|(name, _)| name).collect()
}
