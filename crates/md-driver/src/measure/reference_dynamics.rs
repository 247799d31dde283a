//! A model beside its reference: it follows each reference trajectory from the first frame on, and what it does is
//! compared with what the reference does.

mod trajectory;
mod velocities;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_core::Limits;
use md_core::units::FS_PER_PS;
use md_core::{Frame, Observer, ObserverError, State, System, Vec3, bonds, mechanics};
use md_dynamics::{RunOptions, VelocityVerlet};
use md_metrics::{MetricError, PairDistances, SpectrumBuilder};
use md_results::{Comparison, Distance, DistanceId, Series};

use trajectory::Trajectory;

use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::config::LimitsConfig;
use crate::curves;
use crate::error::CampaignError;
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;

/// Time step of the runs beside the reference, fs; or less, to meet its frames.
const TIMESTEP_FS: f64 = 0.5;

/// The dynamics of a model beside the reference's.
pub(super) struct ReferenceDynamics;

impl Stage for ReferenceDynamics {
    fn about(&self) -> About {
        About {
            id: md_results::Stage::Comparison,
            title: "reference dynamics",
            needs: Needs::Nothing,
            of_control: false,
        }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        cx.molecules_where(|molecule| !molecule.trajectories.is_empty())
    }

    fn measure(
        &self,
        cx: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let molecule = subject.as_molecule()?;
        let (comparison, series) = comparison(model, molecule, &cx.config.limits)?;
        out.comparisons.push(comparison);
        out.series.extend(series);
        Ok(())
    }

    fn cost(&self, _: &View<'_>, subject: &Subject<'_>) -> Result<Option<Cost>> {
        let mut n = 0;
        for file in subject.molecule().into_iter().flat_map(|m| &m.trajectories) {
            n += steps(file)?;
        }
        Ok(Some(Cost::calls(n as f64, subject)))
    }
}

/// Compares the dynamics of a model with the reference trajectories of a molecule: numbers, and what they look like.
///
/// # Errors
/// Trajectories that cannot be read, have no velocities or uneven times; a model that falls apart beside its
/// reference.
fn comparison(
    model: &mut LoadedModel,
    molecule: &LoadedMolecule,
    limits: &LimitsConfig,
) -> Result<(Comparison, Vec<Series>)> {
    let read = |file: &PathBuf| Trajectory::read(file, None);
    let trajectories = molecule.trajectories.iter().map(read).collect::<Result<Vec<_>>>()?;
    let mut follower = Vec::new();
    // Those of one kind in lock step.
    for alike in
        trajectories.chunk_by(|a, b| a.interval_fs == b.interval_fs && a.frames.len() == b.frames.len())
    {
        follower.extend(follow(alike, model, molecule, limits)?);
    }
    let reference: Vec<Record> = trajectories.iter().map(Record::of).collect();
    let duration_ps = reference.iter().map(|r| r.duration_ps).sum();
    let whole_reference = Gathered::from_records(&reference)?;
    let whole_follower = Gathered::from_records(&follower)?;
    // What sampling alone makes: the first halves of the reference against the second.
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for record in &reference {
        let [a, b] = record.halves();
        first.push(a);
        second.push(b);
    }
    let (first, second) = (Gathered::from_records(&first)?, Gathered::from_records(&second)?);
    let found = whole_follower.distances(&whole_reference)?;
    let floors = first.distances(&second)?;
    let distances = found
        .into_iter()
        .zip(floors)
        .filter_map(|((id, value), (_, floor))| {
            Some(Distance { id, value: value?, floor: floor?, unit: id.unit().to_owned() })
        })
        .collect();
    let names = [model.record.name.as_str(), &molecule.record.name];
    let series = whole_follower.series(&whole_reference, names);
    let comparison = Comparison {
        model: model.record.name.clone(),
        molecule: molecule.record.name.clone(),
        trajectories: molecule.trajectories.iter().map(|t| t.display().to_string()).collect(),
        duration_ps,
        distances,
    };
    Ok((comparison, series))
}

/// Reads a trajectory as the comparison does, to the end; the number of its frames.
///
/// # Errors
/// One that cannot be compared with.
pub fn check(file: &Path) -> Result<usize, CampaignError> {
    Ok(Trajectory::read(file, None)?.frames.len())
}

/// Checks the trajectories of a molecule, before anything is run; the system is its structure.
///
/// # Errors
/// One that cannot be compared with, or that is not of this structure.
pub(crate) fn check_of(file: &Path, system: &System) -> Result<f64> {
    Ok(Trajectory::read(file, Some(system))?.interval_fs)
}

/// Steps that a model makes beside a trajectory.
///
/// # Errors
/// As [`check`].
fn steps(file: &Path) -> Result<u64> {
    let Trajectory { frames, interval_fs, .. } = Trajectory::read(file, None)?;
    Ok((interval_fs / TIMESTEP_FS).ceil().max(1.0) as u64 * (frames.len() as u64 - 1))
}

/// Runs of the model from the first frames, seen at the times of the references' frames; all of one length and interval.
fn follow(
    trajectories: &[Trajectory],
    model: &mut LoadedModel,
    molecule: &LoadedMolecule,
    limits: &LimitsConfig,
) -> Result<Vec<Record>> {
    let Some(Trajectory { frames, interval_fs, .. }) = trajectories.first() else { return Ok(Vec::new()) };
    let systems: Vec<System> = trajectories.iter().map(|t| t.frames[0].system.clone()).collect();
    let potential = model.potential.as_mut();
    let mut state = State::at_rest(&systems, potential)?;
    let (mut velocities, mut degrees_of_freedom) = (Vec::new(), Vec::new());
    for trajectory in trajectories {
        let first = &trajectory.frames[0];
        let masses = first.system.masses_amu();
        velocities.extend_from_slice(first.velocities.as_deref().unwrap_or_default());
        degrees_of_freedom.push(mechanics::internal_degrees_of_freedom(masses, first.system.positions()));
    }
    state.set_velocities(velocities, degrees_of_freedom.clone())?;
    let stride = (interval_fs / TIMESTEP_FS).ceil().max(1.0);
    let mut verlet = VelocityVerlet::new(interval_fs / stride)?;
    let max_temperature_k =
        degrees_of_freedom.iter().map(|&n| limits.max_temperature_k(1000.0, n)).fold(0.0, f64::max);
    let limit = Limits::for_molecule(&molecule.system, limits.bond_ratio, max_temperature_k);
    let options = RunOptions {
        steps: stride as u64 * (frames.len() as u64 - 1),
        limits: vec![limit; trajectories.len()],
    };
    let records = systems.iter().map(|system| Record::new(system, *interval_fs)).collect();
    let mut watcher = Watcher { stride: stride as u64, records };
    let fates = md_dynamics::run(&mut state, &mut verlet, potential, &mut [&mut watcher], &options)?;
    for (trajectory, fate) in trajectories.iter().zip(fates) {
        if let md_core::Fate::Diverged { step, reason } = fate {
            let ps = step as f64 * interval_fs / stride / FS_PER_PS;
            let file = trajectory.file.display();
            bail!("{file}: beside the reference the model diverged after {ps:.3} ps: {reason}");
        }
    }
    Ok(watcher.records)
}

struct Watcher {
    stride: u64,
    records: Vec<Record>,
}

impl Observer for Watcher {
    fn stride(&self) -> u64 {
        self.stride
    }

    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        for system in frame.systems() {
            self.records[system.id].push(system.positions(), system.velocities());
        }
        Ok(())
    }
}

/// Positions and velocities of a trajectory at even times.
#[derive(Clone)]
struct Record {
    system: System,
    interval_fs: f64,
    duration_ps: f64,
    frames: Vec<(Vec<Vec3>, Vec<Vec3>)>,
}

impl Record {
    fn of(trajectory: &Trajectory) -> Self {
        let mut record = Record::new(&trajectory.frames[0].system, trajectory.interval_fs);
        for frame in &trajectory.frames {
            record.push(frame.system.positions(), frame.velocities.as_deref().unwrap_or_default());
        }
        record
    }

    fn new(system: &System, interval_fs: f64) -> Self {
        Record { system: system.clone(), interval_fs, duration_ps: 0.0, frames: Vec::new() }
    }

    fn push(&mut self, positions: &[Vec3], velocities: &[Vec3]) {
        self.frames.push((positions.to_vec(), velocities.to_vec()));
        self.duration_ps = (self.frames.len() - 1) as f64 * self.interval_fs / FS_PER_PS;
    }

    fn halves(&self) -> [Record; 2] {
        let (first, second) = self.frames.split_at(self.frames.len() / 2);
        [first, second].map(|frames| Record { frames: frames.to_vec(), ..self.clone() })
    }
}

/// The distributions of several trajectories together.
struct Gathered {
    bonds: PairDistances,
    pairs: PairDistances,
    spectrum: Option<md_metrics::Spectrum>,
}

impl Gathered {
    fn from_records(records: &[Record]) -> Result<Self> {
        let first = records.first().context("no trajectory")?;
        let n = first.system.n_atoms();
        let bonded = bonds::find(&first.system, bonds::DEFAULT_SCALE).iter().map(|b| (b.i, b.j)).collect();
        let all = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
        let mut gathered =
            Gathered { bonds: PairDistances::new(bonded), pairs: PairDistances::new(all), spectrum: None };
        let mut spectrum = SpectrumBuilder::new(first.system.masses_amu(), first.interval_fs)?;
        for (positions, velocities) in records.iter().flat_map(|r| &r.frames) {
            gathered.bonds.push(positions)?;
            gathered.pairs.push(positions)?;
            spectrum.push(velocities)?;
        }
        gathered.spectrum = spectrum.finish().ok();
        Ok(gathered)
    }

    /// Returns the series that illustrate the distances.
    fn series(&self, reference: &Self, names: [&str; 2]) -> Vec<Series> {
        let bonds =
            curves::bond_lengths(names, &self.bonds.values_angstrom(), &reference.bonds.values_angstrom());
        let spectra = self.spectrum.as_ref().zip(reference.spectrum.as_ref());
        bonds.into_iter().chain(spectra.map(|(a, b)| curves::spectra(names, a, b))).collect()
    }

    /// Returns all distances; `None` for those without a value (bonds of an atom).
    fn distances(&self, other: &Self) -> Result<[(DistanceId, Option<f64>); 3]> {
        let or_none = |distance: Result<f64, MetricError>| match distance {
            Ok(distance) => Ok(Some(distance)),
            Err(MetricError::Empty { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let spectrum = match (&self.spectrum, &other.spectrum) {
            (Some(a), Some(b)) => Some(a.wasserstein_per_cm(b)?),
            _ => None,
        };
        Ok([
            (DistanceId::BondLength, or_none(self.bonds.wasserstein_angstrom(&other.bonds))?),
            (DistanceId::PairDistance, or_none(self.pairs.wasserstein_angstrom(&other.pairs))?),
            (DistanceId::Spectrum, spectrum),
        ])
    }
}
