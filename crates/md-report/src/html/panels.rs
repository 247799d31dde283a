//! What is shown of each model on each molecule, and of each model alone.

use std::collections::BTreeMap;

use md_results::{Model, Results, Run, Series, Stage};
use serde::Serialize;

use super::figure::{Figure, Figures};
use super::{causes, forces, runs, scans};

/// A table: all cells are text.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table, if it has rows.
    pub(super) fn new<const N: usize>(
        head: [&'static str; N],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Option<Self> {
        let rows: Vec<_> = rows.into_iter().collect();
        if rows.is_empty() { None } else { Some(Table { head: head.to_vec(), rows }) }
    }
}

/// One thing to look at, or the reason why there is nothing.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    title: String,
    /// Id of the figure.
    figure: Option<String>,
    table: Option<Table>,
    missing: Option<String>,
    note: String,
}

impl Item {
    /// A figure, and what to know of it.
    pub(super) fn figure(figures: &mut Figures, figure: Figure, note: impl Into<String>) -> Self {
        let title = figure.title.clone();
        let figure = Some(figures.add(figure));
        Item { title, figure, table: None, missing: None, note: note.into() }
    }

    /// A table, or why it is empty.
    pub(super) fn table(title: &str, table: Option<Table>, otherwise: &str) -> Self {
        let missing = if table.is_none() { Some(otherwise.to_owned()) } else { None };
        Item { title: title.to_owned(), figure: None, table, missing, note: String::new() }
    }

    /// Nothing to look at.
    pub(super) fn missing(title: &str, reason: impl Into<String>) -> Self {
        let missing = Some(reason.into());
        Item { title: title.to_owned(), figure: None, table: None, missing, note: String::new() }
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_missing(&self) -> bool {
        self.missing.is_some()
    }

    /// With a word on it.
    pub(super) fn noted(mut self, note: String) -> Self {
        self.note = note;
        self
    }
}

/// A model on a molecule.
#[derive(Debug, Serialize)]
pub(super) struct Panel<'a> {
    model: &'a str,
    /// Absent for what concerns no molecule.
    molecule: Option<&'a str>,
    /// Whether a run of it ended badly.
    broke: bool,
    groups: Vec<Group>,
}

/// Things that belong together.
#[derive(Debug, Serialize)]
struct Group {
    title: &'static str,
    items: Vec<Item>,
}

/// What is being looked at, and the records of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub results: &'a Results,
    pub model: &'a Model,
    pub molecule: &'a str,
    pub records: &'a Records<'a>,
}

/// The records of a model on a molecule that there are many of, in their order.
#[derive(Debug, Default)]
pub(super) struct Records<'a> {
    pub runs: Vec<&'a Run>,
    pub series: Vec<&'a Series>,
}

/// The records of every model and molecule, gathered in one pass: a campaign may have 100,000 runs.
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

impl<'a> Pair<'a> {
    /// Model and molecule.
    pub(super) fn name(self) -> String {
        format!("{} / {}", self.model.name, self.molecule)
    }

    /// Series of one kind.
    pub(super) fn series(self, id: &'a str) -> impl Iterator<Item = &'a Series> + Clone {
        self.records.series.iter().copied().filter(move |s| s.id == id)
    }

    /// Why something is missing: the recorded failure of one of these stages, or else `otherwise`.
    pub(super) fn why(self, stages: &[Stage], otherwise: &str) -> String {
        let mut failures = self.results.failures.iter().filter(|f| f.model == self.model.name);
        failures
            .find(|f| {
                (f.stage == Stage::Load || stages.contains(&f.stage))
                    && f.molecule.as_deref().is_none_or(|m| m == self.molecule)
            })
            .map_or_else(|| otherwise.to_owned(), |f| f.reason.clone())
    }

    /// Why there is no curve of what was measured.
    pub(super) fn no_curve(self, stages: &[Stage]) -> String {
        self.why(stages, "these results hold no curve of it")
    }
}

/// Panels of every model on each of its molecules, after one of the model alone.
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
    vec![
        Group { title: "Runs", items: runs::items(pair, figures) },
        Group { title: "Forces", items: forces::items(pair, figures) },
        Group { title: "Against reference dynamics", items: scans::reference(pair, figures) },
        Group { title: "The energy surface", items: scans::surface(pair, figures) },
        Group { title: "Why energy was lost", items: causes::attribution(pair, figures) },
        Group { title: "Time steps", items: causes::timesteps(pair, figures) },
    ]
}
