//! What a model is judged by: one [`Criterion`] per row, from recorded evidence to one number.

use std::collections::BTreeMap;

use md_results::{CriteriaSet, DecidableBy, Definition, Gate, GateId, Results, Run};

use crate::{ALL, evidence};

/// Which side of the threshold is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The value must not exceed the threshold.
    AtMost,
    /// The value must reach the threshold.
    AtLeast,
}

impl Bound {
    /// `<=` or `>=`.
    pub fn sign(self) -> &'static str {
        match self {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        }
    }

    /// `at most` or `at least`.
    pub fn words(self) -> &'static str {
        match self {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        }
    }

    /// Whether `value` is on the good side of `threshold`, or equal to it but for rounding; never for NaN.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        let rounding = 1e-12 * threshold.abs();
        match self {
            Bound::AtMost => value <= threshold + rounding,
            Bound::AtLeast => value >= threshold - rounding,
        }
    }
}

/// What the evidence says about one criterion, one model and one molecule.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Measured. `detail` says where or on what.
    Value {
        /// In the unit of the criterion.
        value: f64,
        /// Its uncertainty, where known.
        uncertainty: Option<Uncertainty>,
        /// Run or condition it was found in.
        detail: String,
    },
    /// How long several observations went well.
    Survived {
        /// The earliest failure, in the unit of the criterion, and what it was.
        first_failure: Option<(f64, String)>,
        /// The shortest observation that ended without failure, and why it ended: the true value is this or more.
        shortest_survivor: Option<(f64, String)>,
        /// Number of observations.
        n: usize,
    },
    /// How much a verdict rests on. Too little of it is missing data, no fault of the model.
    Amount {
        /// In the unit of the criterion.
        value: f64,
        /// What there is, and what would be enough.
        detail: String,
    },
    /// Nothing to measure, and why.
    NotApplicable(String),
    /// Not measured, and why.
    Missing(String),
}

/// How well a value is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertainty {
    /// Standard error, in the unit of the value.
    pub standard_error: f64,
    /// The true value lies here with a confidence of 95 %.
    pub interval: [f64; 2],
    /// Number of independent observations behind it.
    pub n: usize,
    /// What more of would shrink the interval.
    pub decidable_by: DecidableBy,
}

/// One criterion.
#[derive(Debug, Clone, Copy)]
pub struct Criterion {
    /// Key in the campaign file and `id` in the results. Ends in the unit.
    pub key: &'static str,
    /// Words for the dashboard.
    pub title: &'static str,
    /// What is measured, and how: a sentence with the formula.
    pub definition: &'static str,
    /// Unit of value and threshold.
    pub unit: &'static str,
    /// Good side.
    pub bound: Bound,
    /// Threshold where the campaign file says nothing; with `None` the criterion is applied only where asked for.
    pub default: Option<f64>,
    /// Whether there is anything to apply the default to: a molecule may come without what it asks about, such as
    /// reference frequencies. A threshold of the campaign file is applied whatever this says.
    pub applies: fn(&Subject<'_>) -> bool,
    /// Why that threshold.
    pub source: &'static str,
    /// Whether it is applied to every molecule or once to the model.
    pub scope: Scope,
    /// What the model lacks when it fails.
    pub theme: Theme,
    /// Where its number comes from.
    pub evidence: Evidence,
}

/// What a criterion is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every molecule that the campaign asks the model to run.
    Molecule,
    /// The model, by pairs of elements.
    ElementPairs,
}

/// What a model lacks when a criterion fails: failures of one theme are one failure mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Theme {
    /// It depends on how the molecule is turned, shifted, mirrored or numbered.
    Symmetry,
    /// The same positions do not give the same answer.
    Repeatability,
    /// The force is not the gradient of the energy.
    Gradient,
    /// The energy jumps or has kinks.
    Smoothness,
    /// Far molecules interact, or energies do not add up.
    Locality,
    /// Atoms that come close are not repelled.
    ShortRange,
    /// It relaxes to a different geometry.
    Minimum,
    /// Molecules break.
    Stability,
    /// Energy or momentum is not conserved.
    Conservation,
    /// Velocities are not those of the temperature.
    Sampling,
    /// Forces or energies differ from the reference.
    Accuracy,
    /// The floating-point format is too coarse.
    Precision,
    /// The implementation that ran computes something else than the reference implementation.
    Implementation,
    /// It is too slow.
    Speed,
    /// Nothing: there is too little to judge it by.
    Amount,
}

/// Where the number of a criterion comes from.
#[derive(Debug, Clone, Copy)]
pub enum Evidence {
    /// The physics gate of this id.
    Gate(GateId),
    /// This function of what is known about a model and a molecule.
    Function(fn(&Subject<'_>) -> Finding),
}

/// A model on a molecule for a use.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// All evidence.
    pub results: &'a Results,
    /// Name of the model.
    pub model: &'a str,
    /// Name of the molecule.
    pub molecule: &'a str,
    /// Hotter runs do not count, K.
    pub max_temperature_k: f64,
    /// What there is much of, of this model on this molecule.
    pub(crate) records: &'a Records<'a>,
}

/// The runs and gates of a model on a molecule.
#[derive(Debug, Default)]
pub struct Records<'a> {
    pub(crate) runs: Vec<&'a Run>,
    pub(crate) gates: Vec<&'a Gate>,
}

/// [`Records`] of a model by molecule, gathered in one pass: a campaign may have 100,000 runs and as many checks.
#[derive(Debug)]
pub struct Index<'a> {
    by_molecule: BTreeMap<&'a str, Records<'a>>,
    nothing: Records<'a>,
}

impl<'a> Index<'a> {
    /// Everything about `model`.
    pub fn new(results: &'a Results, model: &str) -> Self {
        let mut by_molecule: BTreeMap<&str, Records<'_>> = BTreeMap::new();
        for run in results.runs.iter().filter(|run| run.model == model) {
            by_molecule.entry(&run.molecule).or_default().runs.push(run);
        }
        for gate in results.gates.iter().filter(|gate| gate.model == model) {
            by_molecule.entry(&gate.molecule).or_default().gates.push(gate);
        }
        Index { by_molecule, nothing: Records::default() }
    }

    fn records(&self, molecule: &str) -> &Records<'a> {
        self.by_molecule.get(molecule).unwrap_or(&self.nothing)
    }
}

impl<'a> Subject<'a> {
    /// What a use asks about; `index` is that of the model.
    pub fn new(
        results: &'a Results,
        index: &'a Index<'a>,
        model: &'a str,
        molecule: &'a str,
        set: &CriteriaSet,
    ) -> Self {
        let max_temperature_k = set.max_temperature_k.unwrap_or(f64::INFINITY);
        Subject { results, model, molecule, max_temperature_k, records: index.records(molecule) }
    }

    /// The runs at constant energy.
    pub fn nve_runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| run.is_nve())
    }

    /// The runs at a constant temperature.
    pub fn thermostat_runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| !run.is_nve() && run.ramp_to_k.is_none())
    }

    /// All runs in which a molecule must hold together: those at constant energy and at constant temperature.
    pub fn steady_runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| run.ramp_to_k.is_none())
    }

    /// The runs whose temperature rises.
    pub fn ramps(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| run.ramp_to_k.is_some())
    }

    fn runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        let Subject { records, max_temperature_k, .. } = *self;
        records.runs.iter().copied().filter(move |run| run.temperature_k <= max_temperature_k)
    }
}

impl Criterion {
    /// What it says to people.
    pub fn define(&self) -> Definition {
        Definition {
            key: self.key,
            title: self.title,
            definition: self.definition,
            unit: self.unit,
            source: self.source,
        }
    }

    /// The number for one subject.
    pub fn measure(&self, subject: &Subject<'_>) -> Finding {
        match self.evidence {
            Evidence::Gate(id) => evidence::gate(subject, id),
            Evidence::Function(measure) => measure(subject),
        }
    }
}

/// What [`ALL`] says to people.
pub fn definitions() -> Vec<Definition> {
    ALL.iter().map(Criterion::define).collect()
}

/// The criterion with this key.
pub fn find(key: &str) -> Option<&'static Criterion> {
    ALL.iter().find(|c| c.key == key)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_criterion_says_what_it_measures_in_words_of_its_own() {
        let mut seen = BTreeSet::new();
        for Definition { key, definition, .. } in definitions() {
            assert!(definition.chars().count() >= 20, "{key}: {definition:?}");
            assert!(!definition.ends_with('.'), "{key}: {definition:?}");
            assert!(!definition.contains("  "), "{key}: {definition:?}");
            assert!(seen.insert(definition), "{key} has the words of another: {definition:?}");
        }
        assert_eq!(seen.len(), ALL.len());
    }
}
