//! Elements of panels: figures, tables, and the records of a model on a molecule.

use std::collections::BTreeMap;

use md_results::{
    Attribution, Comparison, Coverage, ELEMENT_PAIRS, Evaluation, Failure, Model, Relaxation, Results, Run,
    Series, SeriesId, Shift, Stage, Survival, TimestepLadder,
};
use serde::Serialize;

use super::budget::Share;
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
    /// Failures of the model on all molecules.
    pub failures: &'a [&'a Failure],
    pub share: Share,
}

/// Records of a model on a molecule, in their order.
#[derive(Debug, Default)]
pub(super) struct Records<'a> {
    pub runs: Vec<&'a Run>,
    pub series: Vec<&'a Series>,
    pub evaluations: Vec<&'a Evaluation>,
    pub relaxations: Vec<&'a Relaxation>,
    pub comparisons: Vec<&'a Comparison>,
    pub coverages: Vec<&'a Coverage>,
    pub shifts: Vec<&'a Shift>,
    pub attributions: Vec<&'a Attribution>,
    pub timesteps: Vec<&'a TimestepLadder>,
    pub survival: Vec<&'a Survival>,
    pub failures: Vec<&'a Failure>,
    /// Number of gates.
    pub gates: usize,
}

/// Records by model and molecule, collected in one pass: a campaign may have 100,000 runs.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    pairs: BTreeMap<(&'a str, &'a str), Records<'a>>,
    /// Failures on all molecules by model.
    failures: BTreeMap<&'a str, Vec<&'a Failure>>,
    nothing: Records<'a>,
}

impl<'a> Index<'a> {
    /// Collects the records.
    pub(super) fn new(results: &'a Results) -> Self {
        let mut index = Index::default();
        macro_rules! collect {
            ($($list:ident)*) => {$(
                for record in &results.$list {
                    index.of(&record.model, &record.molecule).$list.push(record);
                }
            )*};
        }
        collect!(runs relaxations comparisons coverages shifts attributions timesteps);
        for series in &results.series {
            let molecule = if series.id == SeriesId::Dimer { ELEMENT_PAIRS } else { &series.molecule };
            index.of(&series.model, molecule).series.push(series);
        }
        for gate in &results.gates {
            index.of(&gate.model, &gate.molecule).gates += 1;
        }
        for evaluation in &results.evaluations {
            if let Some(molecule) = &evaluation.molecule {
                index.of(&evaluation.model, molecule).evaluations.push(evaluation);
            }
        }
        for survival in &results.survival {
            if let Some(molecule) = &survival.molecule {
                index.of(&survival.model, molecule).survival.push(survival);
            }
        }
        for failure in &results.failures {
            match &failure.molecule {
                Some(molecule) => index.of(&failure.model, molecule).failures.push(failure),
                None => index.failures.entry(&failure.model).or_default().push(failure),
            }
        }
        index
    }

    fn of(&mut self, model: &'a str, molecule: &'a str) -> &mut Records<'a> {
        self.pairs.entry((model, molecule)).or_default()
    }

    /// Returns the records of a model on a molecule.
    pub(super) fn pair(
        &'a self,
        results: &'a Results,
        model: &'a Model,
        molecule: &'a str,
        share: Share,
    ) -> Pair<'a> {
        let records = self.pairs.get(&(model.name.as_str(), molecule)).unwrap_or(&self.nothing);
        let failures = self.failures.get(model.name.as_str()).map_or(&[][..], Vec::as_slice);
        Pair { results, model, molecule, records, failures, share }
    }
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
        self.failures
            .iter()
            .chain(&self.records.failures)
            .find(|f| f.stage == Stage::Load || stages.contains(&f.stage))
            .map_or_else(|| otherwise.to_owned(), |f| f.reason.clone())
    }

    /// Returns why a measurement has no curve.
    pub(super) fn no_curve(self, stages: &[Stage]) -> String {
        self.why(stages, "these results hold no curve of it")
    }
}
