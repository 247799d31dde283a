//! Criteria for models: each [`Criterion`] is one row that maps recorded evidence to one number.

use std::collections::BTreeMap;

use md_metrics::Estimate;
use md_results::{
    Attribution, CauseKind, Check, Comparison, Coverage, CriteriaSet, DecidableBy, Definition, ENGINE,
    Evaluation, Gate, GateId, Results, Run, RunFate, Shift, Speed, TimestepLadder,
};

use crate::statistics::CONFIDENCE;
use crate::{ALL, Reach, evidence};

/// Good side of a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The value must not exceed the threshold.
    AtMost,
    /// The value must reach the threshold.
    AtLeast,
}

impl Bound {
    /// Returns the relation, `<=` or `>=`.
    pub fn sign(self) -> &'static str {
        match self {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        }
    }

    /// Returns `at most` or `at least`.
    pub fn words(self) -> &'static str {
        match self {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        }
    }

    /// Whether `value` is on the good side of `threshold` or equal to it within rounding; false for NaN.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        let rounding = 1e-12 * threshold.abs();
        match self {
            Bound::AtMost => value <= threshold + rounding,
            Bound::AtLeast => value >= threshold - rounding,
        }
    }
}

/// Evidence about one criterion for one model and one molecule.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A measured value; `detail` gives the place or the subject of the measurement.
    Value {
        /// Value in the unit of the criterion.
        value: f64,
        /// Uncertainty, where known.
        uncertainty: Option<Uncertainty>,
        /// Run or condition with this value.
        detail: String,
    },
    /// Survival times of several observations.
    Survived {
        /// The earliest failure in the unit of the criterion, and its description.
        first_failure: Option<(f64, String)>,
        /// The shortest observation that ended without failure, and why it ended: a lower bound of the true value.
        shortest_survivor: Option<(f64, String)>,
        /// Number of observations.
        n: usize,
    },
    /// Amount of evidence. Too little of it is missing data, not a fault of the model.
    Amount {
        /// Amount in the unit of the criterion.
        value: f64,
        /// Existing amount, and the amount that would suffice.
        detail: String,
    },
    /// Nothing to measure, with the reason.
    NotApplicable(String),
    /// Not measured, with the reason.
    Missing(String),
}

/// Uncertainty of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertainty {
    /// Standard error, in the unit of the value.
    pub standard_error: f64,
    /// 95 % confidence interval of the true value.
    pub interval: [f64; 2],
    /// Degrees of freedom of the standard error; `None` if it is not one but a bound.
    pub degrees_of_freedom: Option<f64>,
    /// Number of independent observations behind it.
    pub n: usize,
    /// Additional data that would narrow the interval.
    pub decidable_by: DecidableBy,
}

impl Uncertainty {
    /// Uncertainty of the magnitude of `estimate`, which `n` observations gave: the nearest and the farthest distance from 0
    /// in its 95 % interval.
    pub(crate) fn of_magnitude(estimate: Estimate, n: usize, decidable_by: DecidableBy) -> Self {
        let [low, high] = estimate.interval(CONFIDENCE);
        let nearest = if low <= 0.0 && high >= 0.0 { 0.0 } else { low.abs().min(high.abs()) };
        Uncertainty {
            standard_error: estimate.standard_error,
            interval: [nearest, low.abs().max(high.abs())],
            degrees_of_freedom: Some(estimate.degrees_of_freedom),
            n,
            decidable_by,
        }
    }
}

/// One criterion.
#[derive(Debug, Clone, Copy)]
pub struct Criterion {
    /// Key in the campaign file and `id` in the results. Ends in the unit.
    pub key: &'static str,
    /// Title on the dashboard.
    pub title: &'static str,
    /// Definition of the measured quantity: a sentence with the formula.
    pub definition: &'static str,
    /// Unit of value and threshold.
    pub unit: &'static str,
    /// Good side of the threshold.
    pub bound: Bound,
    /// Default threshold; with `None` the criterion is applied only if the campaign file has a threshold.
    pub default: Option<f64>,
    /// Whether the default applies: a molecule may lack the required data, such as reference frequencies. A threshold
    /// of the campaign file always applies.
    pub applies: fn(&Subject<'_>) -> bool,
    /// Justification of the default threshold.
    pub source: &'static str,
    /// Whether the criterion is applied to every molecule or once to the model.
    pub scope: Scope,
    /// Defect of a model that fails.
    pub theme: Theme,
    /// Source of the value.
    pub evidence: Evidence,
    /// Threshold for the engine on its control; with `None` the control is not checked.
    pub engine: Option<EngineThreshold>,
}

/// Threshold for the engine on its control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EngineThreshold {
    /// The default threshold of the criterion.
    Default,
    /// This one.
    Value(f64),
    /// The length of the shortest planned run, ps.
    PlannedPs,
}

/// Subject of a criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every molecule that the campaign runs with the model.
    Molecule,
    /// The model as a whole, by pairs of elements.
    ElementPairs,
    /// The other checks of a use, all together.
    Checks,
}

/// Defect of a model that a failed criterion shows: failures of one theme form one failure mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Theme {
    /// The results depend on the rotation, translation, reflection or numbering of the molecule.
    Symmetry,
    /// Repeated evaluations of the same positions differ.
    Repeatability,
    /// The force is not the gradient of the energy.
    Gradient,
    /// The energy has jumps or kinks.
    Smoothness,
    /// Distant molecules interact, or the energy is not size-consistent.
    Locality,
    /// Atoms at short distance do not repel each other.
    ShortRange,
    /// Molecules fall into wells that their runs were too short to meet.
    Well,
    /// The model relaxes to a different geometry.
    Minimum,
    /// Molecules break.
    Stability,
    /// Energy or momentum is not conserved.
    Conservation,
    /// Velocities do not follow the distribution at the temperature.
    Sampling,
    /// Forces or energies differ from the reference.
    Accuracy,
    /// The floating-point format is too coarse.
    Precision,
    /// The implementation used differs from the reference implementation.
    Implementation,
    /// The forces are in another unit than the labels, or of the other sign; no criterion's own theme.
    Units,
    /// The model is too slow.
    Speed,
    /// None: there is too little evidence.
    Amount,
}

/// Source of the value of a criterion.
#[derive(Debug, Clone, Copy)]
pub enum Evidence {
    /// A physics gate.
    Gate(GateId),
    /// A physics gate that is a barrier (eV), in units of the [`Reach`] of the use.
    Barrier(GateId),
    /// A function of the evidence about a model and a molecule.
    Function(fn(&Subject<'_>) -> Finding),
    /// A function of the other checks of a use, which come first.
    Checks(fn(&[Check]) -> Finding),
}

/// A model and a molecule, evaluated for one use.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// All evidence.
    pub results: &'a Results,
    /// Name of the model.
    pub model: &'a str,
    /// Name of the molecule.
    pub molecule: &'a str,
    /// Highest temperature considered, K; hotter runs are ignored.
    pub max_temperature_k: f64,
    /// The barriers that the use crosses, or the reason why no run of the model tells.
    pub reach: Result<Reach, &'static str>,
    /// Whether runs count at any time step.
    pub(crate) any_step: bool,
    /// Records of this model and molecule.
    pub(crate) records: &'a Records<'a>,
}

/// The records of a model on a molecule.
#[derive(Debug, Default)]
pub struct Records<'a> {
    pub(crate) runs: Vec<&'a Run>,
    pub(crate) gates: Vec<&'a Gate>,
    pub(crate) evaluations: Vec<&'a Evaluation>,
    pub(crate) shifts: Vec<&'a Shift>,
    pub(crate) comparisons: Vec<&'a Comparison>,
    pub(crate) coverages: Vec<&'a Coverage>,
    pub(crate) speed: Vec<&'a Speed>,
    pub(crate) timesteps: Vec<&'a TimestepLadder>,
    pub(crate) attributions: Vec<&'a Attribution>,
}

/// [`Records`] of a model by molecule, collected in one pass: a campaign may have 100,000 runs and as many checks.
#[derive(Debug, Default)]
pub struct Index<'a> {
    by_molecule: BTreeMap<&'a str, Records<'a>>,
    nothing: Records<'a>,
}

impl<'a> Index<'a> {
    /// Collects the records of `model`.
    pub fn new(results: &'a Results, model: &str) -> Self {
        Index::collect(results, |of| of == model).remove(model).unwrap_or_default()
    }

    /// Collects the records of all models.
    pub(crate) fn of_models(results: &'a Results) -> BTreeMap<&'a str, Self> {
        Index::collect(results, |_| true)
    }

    fn collect(results: &'a Results, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<&'a str, Self> {
        let mut models: BTreeMap<&str, Index<'_>> = BTreeMap::new();
        macro_rules! collect {
            ($($list:ident)*) => {$(
                for record in results.$list.iter().filter(|record| is_wanted(&record.model)) {
                    let index = models.entry(&record.model).or_default();
                    index.by_molecule.entry(&record.molecule).or_default().$list.push(record);
                }
            )*};
        }
        collect!(runs gates shifts comparisons coverages speed timesteps attributions);
        for evaluation in results.evaluations.iter().filter(|e| is_wanted(&e.model)) {
            let Some(molecule) = &evaluation.molecule else { continue };
            let index = models.entry(&evaluation.model).or_default();
            index.by_molecule.entry(molecule).or_default().evaluations.push(evaluation);
        }
        models
    }

    /// Returns the reach of a use of the model.
    ///
    /// # Errors
    /// Those of [`Reach::of`].
    pub fn reach(&self, set: &CriteriaSet) -> Result<Reach, &'static str> {
        Reach::of(self.by_molecule.values().flat_map(|records| records.runs.iter().copied()), set)
    }

    fn records(&self, molecule: &str) -> &Records<'a> {
        self.by_molecule.get(molecule).unwrap_or(&self.nothing)
    }
}

/// Key of the criterion of the time step.
const TIMESTEP: &str = "timestep_over_safe";

impl<'a> Subject<'a> {
    /// Creates the subject of a use; `index` is that of the model, and `reach` its [`Index::reach`] for the use.
    pub fn new(
        results: &'a Results,
        index: &'a Index<'a>,
        model: &'a str,
        molecule: &'a str,
        set: &CriteriaSet,
        reach: Result<Reach, &'static str>,
    ) -> Self {
        let max_temperature_k = set.max_temperature_k.unwrap_or(f64::INFINITY);
        // A use that waives the criterion is for the steps of its runs.
        let any_step = set.name != ENGINE && !set.thresholds.contains_key(TIMESTEP);
        let records = index.records(molecule);
        Subject { results, model, molecule, max_temperature_k, reach, any_step, records }
    }

    /// Returns the runs at constant energy.
    pub fn nve_runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| run.is_nve())
    }

    /// Returns the runs at constant temperature.
    pub fn thermostat_runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| !run.is_nve() && run.ramp_to_k.is_none())
    }

    /// Returns the runs in which the molecule must stay intact: those at constant energy and at constant temperature.
    pub fn steady_runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| run.ramp_to_k.is_none())
    }

    /// Returns the runs with a rising temperature.
    pub fn ramps(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        self.runs().filter(|run| run.ramp_to_k.is_some())
    }

    /// Returns the runs that count. At a time step that is not safe, no model conserves energy or keeps its bonds: such a run
    /// says something of the model only if it broke, and breaks at a safe step, too.
    fn runs(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        let subject = *self;
        self.runs_at_any_step().filter(move |run| match subject.safe_fs(run.integrator.as_deref()) {
            Some(safe_fs) if run.timestep_fs > safe_fs && !subject.any_step => {
                run.fate == RunFate::Diverged && subject.breaks_at(safe_fs)
            }
            _ => true,
        })
    }

    /// Returns all runs, also those at a time step that is not safe.
    pub(crate) fn runs_at_any_step(&self) -> impl Iterator<Item = &'a Run> + use<'a> {
        let Subject { records, max_temperature_k, .. } = *self;
        records.runs.iter().copied().filter(move |run| run.temperature_k <= max_temperature_k)
    }

    /// Returns the longest safe time step of an integrator, fs; `None` if it is not known, or if there is none.
    pub(crate) fn safe_fs(&self, integrator: Option<&str>) -> Option<f64> {
        let ladders = self.records.timesteps.iter().filter(|l| l.integrator.as_deref() == integrator);
        let safe: Option<Vec<f64>> = ladders.map(|l| l.largest_safe_fs).collect();
        safe?.into_iter().min_by(f64::total_cmp)
    }

    /// Whether a run that broke was repeated at a step of at most so many fs and broke again.
    fn breaks_at(&self, safe_fs: f64) -> bool {
        let broken = self
            .records
            .attributions
            .iter()
            .filter(|a| a.causes.iter().any(|c| c.kind == CauseKind::BrokenBond));
        broken.flat_map(|a| &a.experiments).any(|e| e.timestep_fs <= safe_fs && e.diverged.is_some())
    }
}

impl Criterion {
    /// Returns the description for readers.
    pub fn define(&self) -> Definition {
        Definition {
            key: self.key,
            title: self.title,
            definition: self.definition,
            unit: self.unit,
            source: self.source,
        }
    }

    /// Evaluates the criterion for one subject.
    pub fn measure(&self, subject: &Subject<'_>) -> Finding {
        match self.evidence {
            Evidence::Gate(id) => evidence::gate(subject, id),
            Evidence::Barrier(id) => evidence::barrier(subject, id),
            Evidence::Function(measure) => measure(subject),
            Evidence::Checks(_) => Finding::Missing("there are no other checks".to_owned()),
        }
    }
}

/// Whether a threshold lets more pass than the default of its criterion.
pub fn is_looser(criterion: &Criterion, threshold: f64) -> bool {
    criterion.default.is_some_and(|default| !criterion.bound.holds(threshold, default))
}

/// Returns the descriptions of [`ALL`] criteria.
pub fn definitions() -> Vec<Definition> {
    ALL.iter().map(Criterion::define).collect()
}

/// Returns the criterion with the given key.
pub fn find(key: &str) -> Option<&'static Criterion> {
    ALL.iter().find(|c| c.key == key)
}

/// Returns the key that replaces one of earlier versions.
pub fn replaced(key: &str) -> Option<&'static str> {
    ["dimer_wall_ev", "dimer_hole_ev"].contains(&key).then_some("dimer_barrier_over_reach")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn definitions_are_unique_and_long_enough() {
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
