//! Panels of each model, and of each model on each molecule.

use std::collections::BTreeMap;

use md_results::Results;
use serde::Serialize;

use super::figure::Figures;
use super::items::{Item, Pair, Records};
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

/// Records by model and molecule, collected in one pass: a campaign may have 100,000 runs.
type Index<'a> = BTreeMap<(&'a str, &'a str), Records<'a>>;

fn index(results: &Results) -> Index<'_> {
    let mut index = Index::new();
    for run in &results.runs {
        index.entry((&run.model, &run.molecule)).or_default().runs.push(run);
    }
    for series in &results.series {
        index.entry((&series.model, &series.molecule)).or_default().series.push(series);
    }
    index
}

/// Creates the panels of every model, first of the model alone and then of each of its molecules.
pub(super) fn of_models<'a>(results: &'a Results, figures: &mut Figures) -> Vec<Panel<'a>> {
    let (index, nothing) = (index(results), Records::default());
    let mut panels = Vec::new();
    for model in &results.models {
        panels.push(Panel {
            model: &model.name,
            molecule: None,
            broke: false,
            groups: vec![Group {
                title: "Pairs of atoms",
                items: vec![scans::dimers(results, model, figures)],
            }],
        });
        panels.extend(model.molecules.iter().map(|molecule| {
            let records = index.get(&(model.name.as_str(), molecule.as_str())).unwrap_or(&nothing);
            let pair = Pair { results, model, molecule, records };
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
