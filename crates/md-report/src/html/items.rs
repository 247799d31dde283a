//! What panels are made of: figures, tables, and the records of a model on a molecule.

use md_results::{Model, Results, Run, Series, SeriesId, Stage};
use serde::Serialize;

use super::figure::{Figure, Figures};

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

impl<'a> Pair<'a> {
    /// Model and molecule.
    pub(super) fn name(self) -> String {
        format!("{} / {}", self.model.name, self.molecule)
    }

    /// Series of one kind.
    pub(super) fn series(self, id: SeriesId) -> impl Iterator<Item = &'a Series> + Clone {
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
