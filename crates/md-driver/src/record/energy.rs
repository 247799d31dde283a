use md_core::units::{FS_PER_PS, MEV_PER_EV};
use md_core::{Fate, SystemFrame};
use md_metrics::{
    Anomaly, AnomalyKind, AnomalyOptions, EnergyAccumulator, KineticPotentialAccumulator, MetricError,
    find_anomalies,
};
use md_results::{Run, RunEnergy, Series};
use serde::{Deserialize, Serialize};

use super::{Metric, Subject};
use crate::curves::EnergyTrace;

/// Smallest step of the recorded total energy that can be a jump, eV/atom.
const ANOMALY_FLOOR_EV_PER_ATOM: f64 = 1e-3;

/// Energy conservation, with anomalies and the energies and temperature for plots.
#[derive(Serialize, Deserialize)]
pub(super) struct Energy {
    n_atoms: usize,
    degrees_of_freedom: usize,
    conserved: EnergyAccumulator,
    kinetic_potential: KineticPotentialAccumulator,
    trace: EnergyTrace,
}

impl Metric for Energy {
    fn new(subject: &Subject<'_>) -> Result<Self, MetricError> {
        Ok(Energy {
            n_atoms: subject.start.len(),
            degrees_of_freedom: subject.degrees_of_freedom,
            conserved: EnergyAccumulator::default(),
            kinetic_potential: KineticPotentialAccumulator::default(),
            trace: EnergyTrace::default(),
        })
    }

    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        let time_ps = frame.time_fs() / FS_PER_PS;
        let (kinetic_ev, potential_ev) = (frame.kinetic_energy_ev(), frame.potential_energy_ev());
        self.conserved.push(time_ps, frame.conserved_ev())?;
        self.kinetic_potential.push(kinetic_ev, potential_ev)?;
        self.trace.push(time_ps, frame.conserved_ev(), kinetic_ev, potential_ev);
        Ok(())
    }

    fn fill(&self, run: &mut Run, _fate: &Fate) -> Result<(), MetricError> {
        let per_atom = MEV_PER_EV / self.n_atoms as f64;
        let energy = self.conserved.summary()?;
        let drift = self.conserved.drift_rate(self.n_atoms).ok();
        let anomalies = self.anomalies()?;
        let largest_ev = anomalies.iter().map(|a| a.size.abs()).fold(0.0, f64::max);
        run.energy = Some(RunEnergy {
            initial_ev: energy.first_ev,
            drift_percent: energy.drift_percent().ok(),
            max_deviation_percent: energy.max_deviation_percent().ok(),
            max_deviation_mev_per_atom: energy.max_deviation_ev() * per_atom,
            drift_mev_per_atom_per_ps: drift.as_ref().map(|d| d.rate.value),
            drift_standard_error: drift.as_ref().and_then(|d| d.rate.standard_error),
            drift_degrees_of_freedom: drift.map(|d| d.degrees_of_freedom),
            max_jump_mev_per_atom: Some(largest_ev * MEV_PER_EV),
            rms_fluctuation_mev_per_atom: energy.std_ev * per_atom,
            conservation_ratio: energy.conservation_ratio().ok(),
            kinetic_potential_correlation: self.kinetic_potential.statistics()?.correlation,
        });
        run.anomalies = self.in_words(&anomalies);
        Ok(())
    }

    fn series(&self, run: &Run) -> Vec<Series> {
        let names = [run.model.as_str(), &run.molecule, &run.id];
        self.trace.series(names, self.n_atoms, self.degrees_of_freedom)
    }
}

impl Energy {
    fn anomalies(&self) -> Result<Vec<Anomaly>, MetricError> {
        let n_atoms = self.n_atoms as f64;
        let samples = self.conserved.series().samples();
        let per_atom_ev: Vec<f64> = samples.iter().map(|(_, energy_ev)| energy_ev / n_atoms).collect();
        find_anomalies(&per_atom_ev, &AnomalyOptions::with_floor(ANOMALY_FLOOR_EV_PER_ATOM))
    }

    fn in_words(&self, anomalies: &[Anomaly]) -> Vec<String> {
        let samples = self.conserved.series().samples();
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
