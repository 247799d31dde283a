//! Elements of panels: figures, tables, and the records of a model on a molecule.

use md_results::{Model, Results, Run, Series, SeriesId, Stage};
use serde::Serialize;

use super::figure::{Figure, Figures};

/// A table whose cells are text.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table, unless it has no rows.
    pub(super) fn new<const N: usize>(
        head: [&'static str; N],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Option<Self> {
        let rows: Vec<_> = rows.into_iter().collect();
        if rows.is_empty() { None } else { Some(Table { head: head.to_vec(), rows }) }
    }
}

/// A figure or table, or the reason why it is missing.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    title: String,
    /// Id of the figure, if any.
    figure: Option<String>,
    table: Option<Table>,
    missing: Option<String>,
    note: String,
}

impl Item {
    /// Creates an item of a figure with a note.
    pub(super) fn figure(figures: &mut Figures, figure: Figure, note: impl Into<String>) -> Self {
        let title = figure.title.clone();
        let figure = Some(figures.add(figure));
        Item { title, figure, table: None, missing: None, note: note.into() }
    }

    /// Creates an item of a table, or of the reason why it is empty.
    pub(super) fn table(title: &str, table: Option<Table>, otherwise: &str) -> Self {
        let missing = if table.is_none() { Some(otherwise.to_owned()) } else { None };
        Item { title: title.to_owned(), figure: None, table, missing, note: String::new() }
    }

    /// Creates an item without contents.
    pub(super) fn missing(title: &str, reason: impl Into<String>) -> Self {
        let missing = Some(reason.into());
        Item { title: title.to_owned(), figure: None, table: None, missing, note: String::new() }
    }

    /// Whether the item has no contents.
    pub(super) fn is_missing(&self) -> bool {
        self.missing.is_some()
    }

    /// Sets the note.
    pub(super) fn noted(mut self, note: String) -> Self {
        self.note = note;
        self
    }
}

/// A model and a molecule with their records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair<'a> {
    pub results: &'a Results,
    pub model: &'a Model,
    pub molecule: &'a str,
    pub records: &'a Records<'a>,
}

/// Numerous records of a model on a molecule, in their order.
#[derive(Debug, Default)]
pub(super) struct Records<'a> {
    pub runs: Vec<&'a Run>,
    pub series: Vec<&'a Series>,
}

impl<'a> Pair<'a> {
    /// Returns the names of model and molecule.
    pub(super) fn name(self) -> String {
        format!("{} / {}", self.model.name, self.molecule)
    }

    /// Returns the series of one kind.
    pub(super) fn series(self, id: SeriesId) -> impl Iterator<Item = &'a Series> + Clone {
        self.records.series.iter().copied().filter(move |s| s.id == id)
    }

    /// Returns why something is missing: the recorded failure of one of the stages, or else `otherwise`.
    pub(super) fn why(self, stages: &[Stage], otherwise: &str) -> String {
        let mut failures = self.results.failures.iter().filter(|f| f.model == self.model.name);
        failures
            .find(|f| {
                (f.stage == Stage::Load || stages.contains(&f.stage))
                    && f.molecule.as_deref().is_none_or(|m| m == self.molecule)
            })
            .map_or_else(|| otherwise.to_owned(), |f| f.reason.clone())
    }

    /// Returns why a measurement has no curve.
    pub(super) fn no_curve(self, stages: &[Stage]) -> String {
        self.why(stages, "these results hold no curve of it")
    }
}
