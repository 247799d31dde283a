//! Measurements of a model beside its runs: one `Stage` per file.
//!
//! To add a stage, write its file and name it in `STAGES`. The scheduler (`campaign::runner`) then shows its progress,
//! stores its results, isolates its panics, falls back to the CPU, skips the subjects of other shards and tells
//! `--dry-run` its cost.

mod accuracy;
mod barriers;
mod causes;
mod coverage;
pub mod evaluate;
mod gates;
mod minimum;
pub mod reference_dynamics;
mod shift;
pub mod speed;
mod surface;
mod timesteps;

use anyhow::{Result, bail};
use md_core::{Element, Limits, Potential, State, System, Vec3};
use md_results::{
    Attribution, Comparison, Coverage, ELEMENT_PAIRS, Evaluation, Relaxation, Results, Role, Series, Shift,
    Speed, TimestepLadder,
};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::frames::{Labels, VisitedRun};
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;
use crate::plan::{Group, PlannedRun};
use crate::start::{self, RelaxedMolecules};
use gates::Gates;

/// All stages, in the order in which they are measured.
pub(crate) const STAGES: [&dyn Stage; 13] = [
    &surface::StructureGates,
    &surface::ElementPairs,
    &accuracy::References,
    &accuracy::OwnFrames,
    &minimum::Minimum,
    &barriers::Barriers,
    &causes::Causes,
    &timesteps::Timesteps,
    &surface::FrameGates,
    &shift::DistributionShift,
    &coverage::CoverageOfChemistry,
    &reference_dynamics::ReferenceDynamics,
    &speed::SpeedOfModel,
];

/// Requirements of a stage. They determine when it is measured, and by which shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The structures alone. Measured before the runs, by every shard: a model that fails every use by then has short
    /// runs.
    Structures,
    /// The relaxed molecules; otherwise as [`Needs::Structures`].
    Minima,
    /// All runs of the model. A shard leaves it to `merge`.
    Runs,
    /// Nothing, but it decides about no run: measured last, by the shard with the first run of the molecule.
    Nothing,
}

/// Name of a stage and its place in the campaign.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// The id under which its failures are recorded.
    pub(crate) id: md_results::Stage,
    /// Names its progress and its results in the store: a few words, unlike those of any other stage.
    pub(crate) title: &'static str,
    /// When it is measured, and by which shard.
    pub(crate) needs: Needs,
    /// Whether the analytic control is measured, too.
    pub(crate) of_control: bool,
}

impl About {
    /// Whether a model of this role is measured.
    pub(crate) fn applies_to(&self, role: Role) -> bool {
        role == Role::Candidate || self.of_control
    }
}

/// One kind of measurement.
pub(crate) trait Stage {
    /// Its name, and when it is measured.
    fn about(&self) -> About;

    /// The subjects that it is measured on, in order.
    fn subjects<'a>(&self, cx: &View<'a>, model: &LoadedModel) -> Vec<Subject<'a>>;

    /// Measures one subject. What is in `out` when it fails is kept.
    ///
    /// # Errors
    /// The error is recorded as the failure of this stage on this subject.
    fn measure(
        &self,
        cx: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()>;

    /// Returns the cost of one subject, for `--dry-run`. With `None`, the default, a rehearsal with a counting potential
    /// determines it.
    ///
    /// # Errors
    /// Files that cannot be read.
    fn cost(&self, _cx: &View<'_>, _subject: &Subject<'_>) -> Result<Option<Cost>> {
        Ok(None)
    }
}

/// Data that a stage can use.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) config: &'a Config,
    pub(crate) molecules: &'a [LoadedMolecule],
    pub(crate) labels: &'a Labels,
    /// Index of the model.
    pub(crate) model: usize,
    /// All groups of runs of the model, those of other shards included.
    pub(crate) groups: &'a [Group<'a>],
    /// Every molecule that could be relaxed; nothing before [`Needs::Minima`].
    pub(crate) relaxed: &'a RelaxedMolecules,
    /// The frames of its runs; nothing before [`Needs::Runs`].
    pub(crate) visited: &'a [VisitedRun],
    /// Whether its runs end early, since no measurement can save it.
    pub(crate) stopped_early: bool,
    /// Measurements of the stages before this one.
    pub(crate) results: &'a Results,
}

impl<'a> View<'a> {
    /// The state that replicas of a run of the model begin with, and their limits; `None` where none begins.
    ///
    /// # Errors
    /// Errors of the potential.
    fn begin(
        &self,
        group: &Group<'_>,
        replicas: &[PlannedRun],
        potential: &mut dyn Potential,
    ) -> Result<Option<(State, Limits)>> {
        start::begin(self.config, self.molecules, self.relaxed, (group.config, replicas), potential)
    }

    /// The molecules that the model runs, in the order of the campaign.
    pub(crate) fn molecules_run(&self) -> Vec<usize> {
        crate::plan::molecules_of(self.groups.iter())
    }

    /// Index of the molecule of a subject, where it is of one.
    pub(crate) fn index_of(&self, subject: &Subject<'_>) -> Option<usize> {
        let molecule = subject.molecule()?;
        self.molecules.iter().position(|known| std::ptr::eq(known, molecule))
    }

    /// One subject for each molecule that the model runs and that `is_wanted`.
    fn molecules_where(&self, is_wanted: impl Fn(&LoadedMolecule) -> bool) -> Vec<Subject<'a>> {
        let wanted = self.molecules_run().into_iter().filter(|&m| is_wanted(&self.molecules[m]));
        wanted.map(|index| Subject::Molecule(&self.molecules[index])).collect()
    }
}

/// Subject of a stage.
pub(crate) enum Subject<'a> {
    /// A molecule.
    Molecule(&'a LoadedMolecule),
    /// All pairs of some elements.
    ElementPairs(Vec<Element>),
    /// A run from its start.
    Run {
        /// The group it is of.
        group: &'a Group<'a>,
        /// The run.
        planned: PlannedRun,
        /// Its molecule.
        molecule: &'a LoadedMolecule,
    },
    /// The last frame of a run.
    Frame {
        /// The run.
        run: &'a VisitedRun,
        /// Its molecule.
        molecule: &'a LoadedMolecule,
    },
}

impl<'a> Subject<'a> {
    /// The molecule.
    ///
    /// # Errors
    /// The subject is of another kind, as in the other functions of this name.
    pub(crate) fn as_molecule(&self) -> Result<&'a LoadedMolecule> {
        match self {
            Subject::Molecule(molecule) => Ok(molecule),
            _ => self.unexpected("a molecule"),
        }
    }

    pub(crate) fn as_element_pairs(&self) -> Result<&[Element]> {
        match self {
            Subject::ElementPairs(elements) => Ok(elements),
            _ => self.unexpected("pairs of elements"),
        }
    }

    pub(crate) fn as_run(&self) -> Result<(&'a Group<'a>, &PlannedRun, &'a LoadedMolecule)> {
        match self {
            Subject::Run { group, planned, molecule } => Ok((group, planned, molecule)),
            _ => self.unexpected("a run"),
        }
    }

    pub(crate) fn as_frame(&self) -> Result<(&'a VisitedRun, &'a LoadedMolecule)> {
        match self {
            Subject::Frame { run, molecule } => Ok((run, molecule)),
            _ => self.unexpected("a frame"),
        }
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T> {
        bail!("the stage measures {expected}, and was given '{}'", self.key())
    }

    /// Tells it from other subjects of the same stage and model.
    pub(crate) fn key(&self) -> String {
        match self {
            Subject::Molecule(molecule) => molecule.record.name.clone(),
            Subject::ElementPairs(elements) => {
                elements.iter().map(|e| e.symbol()).collect::<Vec<_>>().join("-")
            }
            Subject::Run { planned, .. } => planned.id.clone(),
            Subject::Frame { run, .. } => run.run.clone(),
        }
    }

    /// The molecule it is of, where it is of one.
    pub(crate) fn molecule(&self) -> Option<&LoadedMolecule> {
        match self {
            Subject::Molecule(molecule) | Subject::Run { molecule, .. } | Subject::Frame { molecule, .. } => {
                Some(molecule)
            }
            Subject::ElementPairs(_) => None,
        }
    }

    /// Name of that molecule, as results have it.
    pub(crate) fn place(&self) -> &str {
        self.molecule().map_or(ELEMENT_PAIRS, |m| &m.record.name)
    }

    /// A system of the size that potentials are asked about.
    ///
    /// # Errors
    /// No elements.
    pub(crate) fn system(&self) -> Result<Option<System>> {
        Ok(match self {
            Subject::ElementPairs(elements) => match elements.first() {
                Some(&element) => {
                    let positions = vec![Vec3::zeros(), Vec3::new(1.2, 0.0, 0.0)];
                    Some(System::new(vec![element; 2], positions)?)
                }
                None => None,
            },
            _ => self.molecule().map(|m| m.system.clone()),
        })
    }
}

/// Measurements of a stage on one subject.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Output {
    pub(crate) gates: Gates,
    pub(crate) relaxations: Vec<Relaxation>,
    pub(crate) evaluations: Vec<Evaluation>,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) shifts: Vec<Shift>,
    pub(crate) coverages: Vec<Coverage>,
    pub(crate) attributions: Vec<Attribution>,
    pub(crate) timesteps: Vec<TimestepLadder>,
    pub(crate) speed: Vec<Speed>,
    pub(crate) series: Vec<Series>,
}

impl Output {
    /// Creates an empty output for the model of this name.
    pub(crate) fn new(model: &str) -> Self {
        Output {
            gates: Gates::new(model),
            relaxations: Vec::new(),
            evaluations: Vec::new(),
            comparisons: Vec::new(),
            shifts: Vec::new(),
            coverages: Vec::new(),
            attributions: Vec::new(),
            timesteps: Vec::new(),
            speed: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Adds it to what there is.
    pub(crate) fn enter(self, results: &mut Results) {
        let series = self.gates.enter(&mut results.gates);
        results.series.extend(series);
        results.relaxations.extend(self.relaxations);
        results.evaluations.extend(self.evaluations);
        results.comparisons.extend(self.comparisons);
        results.shifts.extend(self.shifts);
        results.coverages.extend(self.coverages);
        results.attributions.extend(self.attributions);
        results.timesteps.extend(self.timesteps);
        results.speed.extend(self.speed);
        results.series.extend(self.series);
    }
}

/// Cost of a measurement: numbers of atoms times calls of each potential.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// Atoms, times calls, of the potential of the runs.
    pub(crate) potential: f64,
    /// The same of the potential in f64.
    pub(crate) oracle: f64,
    /// The same of the reference implementation.
    pub(crate) reference: f64,
    /// Calls that are timed: the speed of a model.
    pub(crate) timed_calls: bool,
}

impl Cost {
    /// So many calls of the potential of the runs on the molecule of `subject`.
    fn calls(calls: f64, subject: &Subject<'_>) -> Self {
        let atoms = subject.molecule().map_or(0, |m| m.system.n_atoms()) as f64;
        Cost { potential: calls * atoms, ..Cost::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn stage_titles_are_unique() {
        let titles: BTreeSet<&str> = STAGES.iter().map(|stage| stage.about().title).collect();
        assert_eq!(titles.len(), STAGES.len());
    }
}
