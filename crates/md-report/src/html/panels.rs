//! Panels of each model, and of each model on each molecule.

use std::collections::BTreeSet;

use md_results::{ELEMENT_PAIRS, Results};
use serde::Serialize;

use super::budget::Budget;
use super::figure::Figures;
use super::items::{Index, Item, Pair};
use super::{causes, forces, runs, scans};

/// Panel of a model on a molecule.
#[derive(Debug, Serialize)]
pub(super) struct Panel<'a> {
    model: &'a str,
    /// Molecule; absent for a panel of the model alone.
    molecule: Option<&'a str>,
    /// Whether any of its runs diverged or broke a bond.
    broke: bool,
    groups: Vec<Group>,
}

/// A group of related items.
#[derive(Debug, Serialize)]
struct Group {
    title: &'static str,
    items: Vec<Item>,
}

/// Creates the panels of every model that `budget` allows, first of the model alone and then of each of its molecules.
pub(super) fn of_models<'a>(
    results: &'a Results,
    index: &'a Index<'a>,
    budget: &Budget<'_>,
    figures: &mut Figures,
) -> Vec<Panel<'a>> {
    let mut panels = Vec::new();
    let alone: BTreeSet<&str> = budget.models(results).map(|m| m.name.as_str()).collect();
    for model in &results.models {
        if alone.contains(model.name.as_str()) {
            let pair = index.pair(results, model, ELEMENT_PAIRS, budget.share);
            let items = vec![scans::dimers(pair, figures)];
            let groups = vec![Group { title: "Pairs of atoms", items }];
            panels.push(Panel { model: &model.name, molecule: None, broke: false, groups });
        }
        let shown = model.molecules.iter().filter(|molecule| budget.has_panel(&model.name, molecule));
        panels.extend(shown.map(|molecule| {
            let pair = index.pair(results, model, molecule, budget.share);
            Panel {
                model: &model.name,
                molecule: Some(molecule),
                broke: runs::any_broke(pair),
                groups: groups(pair, figures),
            }
        }));
    }
    panels
}

fn groups(pair: Pair<'_>, figures: &mut Figures) -> Vec<Group> {
    let mut groups = vec![
        Group { title: "Runs", items: runs::items(pair, figures) },
        Group { title: "Forces", items: forces::items(pair, figures) },
        Group { title: "Against reference dynamics", items: scans::reference(pair, figures) },
        Group { title: "The energy surface", items: scans::surface(pair, figures) },
        Group { title: "Why energy was lost", items: causes::attribution(pair, figures) },
        Group { title: "Time steps", items: causes::timesteps(pair, figures) },
    ];
    let others = scans::others(pair, figures);
    if !others.is_empty() {
        groups.push(Group { title: "Other curves", items: others });
    }
    groups
}
