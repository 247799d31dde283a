//! Measures a run in bounded memory.

use md_core::units::{AMU_ANGSTROM2_PER_FS_IN_HBAR, FS_PER_PS, MEV_PER_EV};
use md_core::{Fate, Frame, Observer, ObserverError, State, System, SystemFrame, Vec3, bonds, mechanics};
use md_metrics::{
    Anomaly, AnomalyKind, AnomalyOptions, BondTracker, EnergyAccumulator, KineticPotentialAccumulator,
    MetricError, RunningStats, ThermalAccumulator, find_anomalies, rmsd_aligned_angstrom,
};
use md_results::{Run, RunEnergy, RunFate, RunMomentum, RunStability, RunTemperature, RunThermal, Series};
use serde::{Deserialize, Serialize};

use crate::config::{Ensemble, RunConfig};
use crate::curves::EnergyTrace;
use crate::plan::PlannedRun;

/// Number of steps between two alignments, which are the most expensive part of a record.
const RMSD_STRIDE: u64 = 10;

/// Number of steps between two samples of velocities in a run with a thermostat: neighbouring samples are correlated.
const THERMAL_STRIDE: u64 = 4;

/// Smallest step of the recorded total energy that can be a jump, eV/atom.
const ANOMALY_FLOOR_EV_PER_ATOM: f64 = 1e-3;

/// An [`Observer`] with one [`Record`] per system.
#[derive(Serialize, Deserialize)]
pub struct Recorder {
    stride: u64,
    records: Vec<Record>,
}

/// Accumulators of one system.
#[derive(Serialize, Deserialize)]
pub struct Record {
    start: Vec<Vec3>,
    degrees_of_freedom: usize,
    timestep_fs: f64,
    energy: EnergyAccumulator,
    kinetic_potential: KineticPotentialAccumulator,
    temperature: RunningStats,
    bonds: BondTracker,
    first_angular_momentum: Option<Vec3>,
    max_angular_momentum_change: f64,
    max_drift_angstrom_per_fs: f64,
    thermal: Option<ThermalAccumulator>,
    max_rmsd_angstrom: f64,
    trace: EnergyTrace,
}

impl Recorder {
    /// Creates a recorder for the systems of `state`, which perform the runs `planned` of `grid`. The bonds are those
    /// of `structures` and count as broken beyond `broken_ratio` times their length there.
    ///
    /// # Errors
    /// [`MetricError::OutOfRange`] if `broken_ratio` is not a valid ratio.
    pub fn new(
        state: &State,
        structures: &[&System],
        grid: &RunConfig,
        planned: &[&PlannedRun],
        broken_ratio: f64,
    ) -> Result<Self, MetricError> {
        let timestep_fs = grid.timestep_fs;
        let thermostat = grid.ensemble != Ensemble::Nve && grid.ramp_to_k.is_none();
        let records = structures
            .iter()
            .zip(planned)
            .zip(state.batch().ranges())
            .zip(state.degrees_of_freedom())
            .map(|(((structure, run), atoms), &degrees_of_freedom)| {
                let thermal = (thermostat && degrees_of_freedom > 0).then(|| {
                    ThermalAccumulator::new(structure.masses_amu(), degrees_of_freedom, run.temperature_k)
                });
                Ok(Record {
                    thermal: thermal.transpose()?,
                    start: state.positions()[atoms].to_vec(),
                    degrees_of_freedom,
                    timestep_fs,
                    energy: EnergyAccumulator::default(),
                    kinetic_potential: KineticPotentialAccumulator::default(),
                    temperature: RunningStats::default(),
                    bonds: BondTracker::new(bonds::find(structure, bonds::DEFAULT_SCALE), broken_ratio)?,
                    first_angular_momentum: None,
                    max_angular_momentum_change: 0.0,
                    max_drift_angstrom_per_fs: 0.0,
                    max_rmsd_angstrom: 0.0,
                    trace: EnergyTrace::default(),
                })
            })
            .collect::<Result<_, MetricError>>()?;
        Ok(Recorder { stride: grid.record_stride, records })
    }

    /// Returns the records, in the initial order of the systems.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}

impl Observer for Recorder {
    fn stride(&self) -> u64 {
        self.stride
    }

    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        for system in frame.systems() {
            self.records[system.id].observe(&system).map_err(|source| ObserverError {
                observer: "the recorder".to_owned(),
                step: system.step(),
                source: Box::new(source),
            })?;
        }
        Ok(())
    }
}

impl Record {
    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        let time_ps = frame.time_fs() / FS_PER_PS;
        self.energy.push(time_ps, frame.conserved_ev())?;
        let kinetic_ev = frame.kinetic_energy_ev();
        let potential_ev = frame.potential_energy_ev();
        self.kinetic_potential.push(kinetic_ev, potential_ev)?;
        self.trace.push(time_ps, frame.conserved_ev(), kinetic_ev, potential_ev);
        self.temperature.push(mechanics::temperature_k(kinetic_ev, self.degrees_of_freedom))?;
        self.bonds.observe(time_ps, frame.positions())?;
        let spin = frame.angular_momentum();
        let change = (spin - *self.first_angular_momentum.get_or_insert(spin)).norm();
        self.max_angular_momentum_change = self.max_angular_momentum_change.max(change);
        let masses = frame.masses_amu();
        let drift = mechanics::momentum(masses, frame.velocities()).norm() / masses.iter().sum::<f64>();
        self.max_drift_angstrom_per_fs = self.max_drift_angstrom_per_fs.max(drift);
        if let Some(thermal) = &mut self.thermal
            && frame.step().is_multiple_of(THERMAL_STRIDE)
        {
            thermal.push(time_ps, frame.positions(), frame.velocities())?;
        }
        if frame.step().is_multiple_of(RMSD_STRIDE) {
            let rmsd = rmsd_aligned_angstrom(frame.positions(), &self.start)?;
            self.max_rmsd_angstrom = self.max_rmsd_angstrom.max(rmsd);
        }
        Ok(())
    }

    /// Writes the measurements to `run`, which was planned with `steps` steps. Energies and temperatures are absent if
    /// the system diverged before its first sample.
    ///
    /// # Errors
    /// The metrics failed.
    pub fn fill(&self, run: &mut Run, fate: &Fate, steps: u64) -> Result<(), MetricError> {
        (run.fate, run.fate_reason, run.steps_done) = match fate {
            Fate::Finished => (RunFate::Finished, None, steps),
            Fate::Diverged { step, reason } => (RunFate::Diverged, Some(reason.to_string()), *step),
        };
        if self.temperature.count() == 0 {
            return Ok(());
        }
        run.energy = Some(self.energy_record()?);
        let temperature = self.temperature.summary()?;
        run.temperature = Some(RunTemperature {
            mean_k: temperature.mean,
            std_k: temperature.std,
            max_k: temperature.max,
            degrees_of_freedom: self.degrees_of_freedom,
        });
        run.momentum = Some(RunMomentum {
            max_change_hbar: self.max_angular_momentum_change * AMU_ANGSTROM2_PER_FS_IN_HBAR,
            max_drift_angstrom_per_ps: self.max_drift_angstrom_per_fs * FS_PER_PS,
        });
        run.thermal = self.thermal.as_ref().and_then(|t| t.statistics().ok()).map(|thermal| RunThermal {
            temperature_error_percent: 100.0 * thermal.temperature_error.value,
            temperature_standard_error_percent: Some(100.0 * thermal.temperature_error.standard_error)
                .filter(|e| e.is_finite()),
            kinetic_energy_p: Some(thermal.kinetic_energy_p),
            equipartition_p: Some(thermal.equipartition_p),
            equipartition_worst_percent: Some(100.0 * thermal.equipartition_worst),
        });
        run.stability = Some(self.stability_record(fate));
        let anomalies = self.anomalies()?;
        if let Some(energy) = &mut run.energy {
            let largest = anomalies.iter().map(|a| a.size.abs()).fold(0.0, f64::max);
            energy.max_jump_mev_per_atom = Some(largest * MEV_PER_EV);
        }
        run.anomalies = self.in_words(&anomalies);
        Ok(())
    }

    /// Returns the series for plots.
    pub fn series(&self, run: &Run) -> Vec<Series> {
        let names = [run.model.as_str(), &run.molecule, &run.id];
        self.trace.series(names, self.start.len(), self.degrees_of_freedom)
    }

    fn energy_record(&self) -> Result<RunEnergy, MetricError> {
        let n_atoms = self.start.len();
        let per_atom = MEV_PER_EV / n_atoms as f64;
        let energy = self.energy.summary()?;
        let drift = self.energy.drift_rate(n_atoms).ok();
        Ok(RunEnergy {
            initial_ev: energy.first_ev,
            drift_percent: energy.drift_percent().ok(),
            max_deviation_percent: energy.max_deviation_percent().ok(),
            max_deviation_mev_per_atom: energy.max_deviation_ev() * per_atom,
            drift_mev_per_atom_per_ps: drift.as_ref().map(|d| d.rate.value),
            drift_standard_error: drift.as_ref().and_then(|d| d.rate.standard_error),
            drift_degrees_of_freedom: drift.map(|d| d.degrees_of_freedom),
            max_jump_mev_per_atom: None,
            rms_fluctuation_mev_per_atom: energy.std_ev * per_atom,
            conservation_ratio: energy.conservation_ratio().ok(),
            kinetic_potential_correlation: self.kinetic_potential.statistics()?.correlation,
        })
    }

    /// A bond whose stretch ended the run counts as broken at that time, although no observer saw that step.
    fn stability_record(&self, fate: &Fate) -> RunStability {
        let seen = self.bonds.first_broken().map(|b| (b.time_ps, b.bond.i, b.bond.j));
        let (last, last_ratio) = match *fate {
            Fate::Diverged {
                step,
                reason: md_core::Divergence::BondStretched { i, j, distance_angstrom, .. },
            } => {
                let reference = self.bonds.records().iter().find(|r| (r.bond.i, r.bond.j) == (i, j));
                let time_ps = step as f64 * self.timestep_fs / FS_PER_PS;
                (Some((time_ps, i, j)), reference.map(|r| distance_angstrom / r.bond.length_angstrom))
            }
            _ => (None, None),
        };
        let first = seen.or(last);
        // One atom has no bonds. For several atoms without bonds, their cohesion is unknown.
        let no_bond = (self.start.len() == 1).then_some(0.0);
        RunStability {
            first_broken_bond_ps: first.map(|(time_ps, _, _)| time_ps),
            first_broken_bond: first.map(|(_, i, j)| format!("{i}-{j}")),
            max_bond_ratio: [self.bonds.max_ratio(), last_ratio, no_bond]
                .into_iter()
                .flatten()
                .reduce(f64::max),
            max_rmsd_angstrom: self.max_rmsd_angstrom,
        }
    }

    fn anomalies(&self) -> Result<Vec<Anomaly>, MetricError> {
        let n_atoms = self.start.len() as f64;
        let samples = self.energy.series().samples();
        let per_atom_ev: Vec<f64> = samples.iter().map(|(_, energy_ev)| energy_ev / n_atoms).collect();
        find_anomalies(&per_atom_ev, &AnomalyOptions::with_floor(ANOMALY_FLOOR_EV_PER_ATOM))
    }

    fn in_words(&self, anomalies: &[Anomaly]) -> Vec<String> {
        let samples = self.energy.series().samples();
        anomalies
            .iter()
            .map(|a| {
                let kind = match a.kind {
                    AnomalyKind::NonFinite => "value that is not finite",
                    AnomalyKind::Jump => "jump",
                    AnomalyKind::Spike => "spike",
                };
                let size = a.size * MEV_PER_EV;
                format!("{kind} of the total energy by {size:.2} meV/atom at {:.4} ps", samples[a.index].0)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use md_core::Element;
    use md_dynamics::{RunOptions, Target, ThermostatKind, VelocityOptions};
    use md_io::trajectory::Compression;
    use md_probe::analytic::Control;

    use super::*;
    use crate::config::Integrator;

    /// Uses a run with a thermostat, which has every accumulator.
    #[test]
    fn run_record_memory_is_bounded() {
        let positions = vec![Vec3::zeros(), Vec3::new(0.96, 0.0, 0.0), Vec3::new(-0.24, 0.93, 0.0)];
        let water = System::new(vec![Element::O, Element::H, Element::H], positions).unwrap();
        let systems = std::slice::from_ref(&water);
        let mut control = Control::new(systems).unwrap();
        let grid = RunConfig {
            models: vec![0],
            molecules: vec![0],
            ensemble: Ensemble::Thermostat(ThermostatKind::Bussi { relaxation_fs: 100.0 }),
            integrator: Integrator::default(),
            ramp_to_k: None,
            equilibration_steps: 0,
            timestep_fs: 0.5,
            steps: 80_000,
            temperatures_k: vec![300.0],
            replicas: 1,
            relax: false,
            exact_temperature: false,
            record_stride: 1,
            trajectory_stride: None,
            trajectory_compression: Compression::None,
        };
        let run = PlannedRun {
            id: "run".to_owned(),
            model: 0,
            molecule: 0,
            temperature_k: 300.0,
            replica: 0,
            seed: 1,
            thermostat_seed: 2,
        };
        let bytes_after = |steps: u64, control: &mut Control| {
            let mut state = State::at_rest(systems, control).unwrap();
            md_dynamics::thermalise(&mut state, &[300.0], &[1], &VelocityOptions::default()).unwrap();
            let Ensemble::Thermostat(kind) = grid.ensemble else { panic!() };
            let mut bussi = kind.build(0.5, &[Target::Constant(300.0)], &[2], &state).unwrap();
            let mut recorder = Recorder::new(&state, &[&water], &grid, &[&run], 1.5).unwrap();
            let options = RunOptions { steps, limits: Vec::new() };
            md_dynamics::run(&mut state, &mut bussi, control, &mut [&mut recorder], &options).unwrap();
            assert_eq!(recorder.records[0].temperature.count(), steps + 1);
            rmp_serde::to_vec_named(&recorder).unwrap().len()
        };
        // All series are full after 16,384 steps and at least half full from then on.
        let (short, long) = (bytes_after(20_000, &mut control), bytes_after(80_000, &mut control));
        assert!(long < short + short / 2, "{short} bytes, then {long}");
    }
}
