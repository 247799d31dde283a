//! Creates the list of runs of a campaign.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{Config, RunConfig};

/// One planned run.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// Unique name.
    pub id: String,
    /// Index of the model.
    pub model: usize,
    /// Index of the molecule.
    pub molecule: usize,
    /// Target of the initial velocities, K.
    pub temperature_k: f64,
    /// Replica, from 0.
    pub replica: u32,
    /// Seed of the random stream. It depends on campaign seed, molecule, temperature and replica but not on the model,
    /// so that all models start with the same random numbers.
    pub seed: u64,
    /// Seed of the random numbers of the thermostat.
    pub thermostat_seed: u64,
}

impl PlannedRun {
    /// Returns the name of its trajectory file, without extension. Names of models and molecules contain no comma, so
    /// that the file names are unique.
    pub fn file_name(&self) -> String {
        self.id.replace('/', ",")
    }
}

/// Runs of one model that are advanced in lock step.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'a> {
    /// Grid of the runs.
    pub config: &'a RunConfig,
    /// Index of the model.
    pub model: usize,
    /// The runs.
    pub runs: Vec<PlannedRun>,
}

/// A `KEY=VALUE` of `--only`, which selects runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Filter {
    /// Runs of this model.
    Model(String),
    /// Runs of this molecule.
    Molecule(String),
    /// Runs at this temperature, K.
    TemperatureK(f64),
    /// Runs with this replica number.
    Replica(u32),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("'{text}': expected model=NAME, molecule=NAME, temperature_K=NUMBER or replica=NUMBER")
        };
        match text.split_once('=').ok_or_else(bad)? {
            ("model", name) => Ok(Filter::Model(name.to_owned())),
            ("molecule", name) => Ok(Filter::Molecule(name.to_owned())),
            ("temperature_K", number) => number.parse().map(Filter::TemperatureK).map_err(|_| bad()),
            ("replica", number) => number.parse().map(Filter::Replica).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::Model(name) => write!(f, "model={name}"),
            Filter::Molecule(name) => write!(f, "molecule={name}"),
            Filter::TemperatureK(t) => write!(f, "temperature_K={t}"),
            Filter::Replica(r) => write!(f, "replica={r}"),
        }
    }
}

/// An `I/N` of `--shard`: the I-th of N shards of a plan, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Number of the shard, from 1.
    pub index: usize,
    /// Total number of shards.
    pub count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Shard { index, count }),
            _ => Err(format!("'{text}': expected I/N with I from 1 to N, such as 1/4")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Stores a type as it is written on the command line, and validates it when it is read.
macro_rules! stored_as_text {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    )*};
}

stored_as_text!(Filter, Shard);

/// Error of creating a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two grids contain the same run.
    #[error("two [[run]] tables ask for the same run {0}: remove it from one of them")]
    Twice(String),
    /// No grid runs the model.
    #[error("no [[run]] is for the model '{0}': name it in one, or add a [[run]] without `models`")]
    Idle(String),
    /// No grid runs the molecule.
    #[error("no [[run]] is for the molecule '{0}': name it in one, or remove it")]
    IdleMolecule(String),
    /// The file name of a trajectory would be too long.
    #[error(
        "the run {0} has too long a name for the file of its trajectory: shorten the names of model and molecule"
    )]
    LongName(String),
    /// The filters leave no run.
    #[error("no run is left by --only {0}")]
    Empty(String),
    /// There are more shards than runs.
    #[error("--shard {shard}: the plan has {runs} runs, so at most as many shards")]
    TooManyShards {
        /// Requested shard.
        shard: Shard,
        /// Number of runs.
        runs: usize,
    },
}

/// Longest file name without its extension, bytes: most file systems allow 255 for both.
const LONGEST_FILE_NAME: usize = 200;

/// Returns the runs of a campaign, grouped by the runs that are advanced together.
///
/// # Errors
/// [`PlanError::Twice`], [`PlanError::Idle`], [`PlanError::IdleMolecule`] or [`PlanError::LongName`].
pub fn plan(config: &Config) -> Result<Vec<Group<'_>>, PlanError> {
    let mut seen = BTreeSet::new();
    let mut busy = BTreeSet::new();
    let mut groups = Vec::new();
    for grid in &config.runs {
        for &model in &grid.models {
            let mut runs = Vec::new();
            for &molecule in &grid.molecules {
                for &temperature_k in &grid.temperatures_k {
                    for replica in 0..grid.replicas {
                        let run = planned(config, grid, model, molecule, temperature_k, replica);
                        if !seen.insert(run.id.clone()) {
                            return Err(PlanError::Twice(run.id));
                        }
                        if grid.trajectory_stride.is_some() && run.file_name().len() > LONGEST_FILE_NAME {
                            return Err(PlanError::LongName(run.id));
                        }
                        runs.push(run);
                    }
                }
            }
            busy.insert(model);
            groups.push(Group { config: grid, model, runs });
        }
    }
    if let Some(idle) = (0..config.models.len()).find(|model| !busy.contains(model)) {
        return Err(PlanError::Idle(config.models[idle].name.clone()));
    }
    let run = molecules_of(groups.iter());
    if let Some(idle) = (0..config.molecules.len()).find(|molecule| !run.contains(molecule)) {
        return Err(PlanError::IdleMolecule(config.molecules[idle].name.clone()));
    }
    Ok(groups)
}

/// Returns the runs of a plan that match every filter.
///
/// # Errors
/// [`PlanError::Empty`].
pub fn only<'a>(
    config: &Config,
    mut groups: Vec<Group<'a>>,
    filters: &[Filter],
) -> Result<Vec<Group<'a>>, PlanError> {
    for group in &mut groups {
        group.runs.retain(|run| filters.iter().all(|filter| matches(config, filter, run)));
    }
    groups.retain(|g| !g.runs.is_empty());
    if groups.is_empty() {
        return Err(PlanError::Empty(
            filters.iter().map(Filter::to_string).collect::<Vec<_>>().join(" --only "),
        ));
    }
    Ok(groups)
}

/// Returns a shard of a plan, model by model: consecutive runs with about the same number of steps times atoms as any
/// other shard. `atoms` are the numbers of atoms of the molecules. Every run is in exactly one shard.
///
/// # Errors
/// [`PlanError::TooManyShards`].
pub fn shard_of<'a>(
    groups: &[Group<'a>],
    atoms: &[usize],
    shard: Shard,
) -> Result<Vec<Group<'a>>, PlanError> {
    let runs: usize = groups.iter().map(|g| g.runs.len()).sum();
    if shard.count > runs {
        return Err(PlanError::TooManyShards { shard, runs });
    }
    let cost = |group: &Group<'_>, run: &PlannedRun| {
        (group.config.equilibration_steps + group.config.steps) as f64 * atoms[run.molecule] as f64
    };
    let mut by_model: Vec<&Group<'a>> = groups.iter().collect();
    by_model.sort_by_key(|g| g.model);
    let total: f64 = by_model.iter().flat_map(|g| g.runs.iter().map(|run| cost(g, run))).sum();
    let mut before = 0.0;
    let mut mine = BTreeSet::new();
    for group in by_model {
        for run in &group.runs {
            let cost = cost(group, run);
            let index = ((before + 0.5 * cost) / total * shard.count as f64) as usize;
            if index.min(shard.count - 1) == shard.index - 1 {
                mine.insert(run.id.as_str());
            }
            before += cost;
        }
    }
    let kept = |group: &Group<'a>| Group {
        runs: group.runs.iter().filter(|run| mine.contains(run.id.as_str())).cloned().collect(),
        ..group.clone()
    };
    Ok(groups.iter().map(kept).filter(|g| !g.runs.is_empty()).collect())
}

/// Returns the runs selected by `filters` and, if a shard is given, those of the shard. `atoms` are the numbers of
/// atoms of the molecules.
///
/// # Errors
/// As [`plan`], [`only`] and [`shard_of`].
pub fn in_shard<'c>(
    config: &'c Config,
    atoms: &[usize],
    filters: &[Filter],
    shard: Option<Shard>,
) -> Result<(Vec<Group<'c>>, Option<Vec<Group<'c>>>), PlanError> {
    let groups = only(config, plan(config)?, filters)?;
    let own = shard.map(|shard| shard_of(&groups, atoms, shard)).transpose()?;
    Ok((groups, own))
}

/// Returns one run of a grid. `replica` may exceed the number of replicas of the grid.
pub fn planned(
    config: &Config,
    grid: &RunConfig,
    model: usize,
    molecule: usize,
    temperature_k: f64,
    replica: u32,
) -> PlannedRun {
    let molecule_name = &config.molecules[molecule].name;
    let ensemble = grid.ensemble.name();
    let stream = format!("{molecule_name}/{ensemble}/{temperature_k}K/r{replica}");
    let mut conditions = format!("{temperature_k}K");
    if let Some(to_k) = grid.ramp_to_k {
        conditions += &format!("-{to_k}K");
    }
    conditions += &format!("/{}fs/{}steps", grid.timestep_fs, grid.steps);
    if !grid.integrator.is_default() {
        conditions += &format!("/{}", grid.integrator.name());
    }
    if grid.equilibration_steps > 0 {
        conditions += &format!("/after-{}", grid.equilibration_steps);
    }
    if !grid.relax {
        conditions += "/as-given";
    }
    PlannedRun {
        id: format!("{}/{molecule_name}/{ensemble}/{conditions}/r{replica}", config.models[model].name),
        model,
        molecule,
        temperature_k,
        replica,
        seed: md_dynamics::stream_seed(config.seed, &stream),
        thermostat_seed: md_dynamics::stream_seed(config.seed, &format!("{stream}/thermostat")),
    }
}

/// Returns the groups of one model.
pub fn groups_of<'c>(model: usize, groups: &[Group<'c>]) -> Vec<Group<'c>> {
    groups.iter().filter(|g| g.model == model).cloned().collect()
}

/// Returns the molecules of these groups, in the order of the campaign.
pub fn molecules_of<'g, 'c: 'g>(groups: impl Iterator<Item = &'g Group<'c>>) -> Vec<usize> {
    let molecules: BTreeSet<usize> = groups.flat_map(|g| &g.runs).map(|r| r.molecule).collect();
    molecules.into_iter().collect()
}

fn matches(config: &Config, filter: &Filter, run: &PlannedRun) -> bool {
    match filter {
        Filter::Model(name) => config.models[run.model].name == *name,
        Filter::Molecule(name) => config.molecules[run.molecule].name == *name,
        Filter::TemperatureK(t) => run.temperature_k == *t,
        Filter::Replica(r) => run.replica == *r,
    }
}
