use md_core::units::FS_PER_PS;
use md_core::{Fate, SystemFrame};
use md_metrics::{MetricError, ThermalAccumulator};
use md_results::{Run, RunThermal};
use serde::{Deserialize, Serialize};

use super::{Metric, Subject};
use crate::config::Ensemble;

/// Number of steps between two samples of velocities: neighbouring samples are correlated.
const STRIDE: u64 = 4;

/// Velocity distribution of a run with a thermostat at one temperature.
#[derive(Serialize, Deserialize)]
pub(super) struct Thermal {
    velocities: Option<ThermalAccumulator>,
}

impl Metric for Thermal {
    fn new(subject: &Subject<'_>) -> Result<Self, MetricError> {
        let Subject { structure, degrees_of_freedom, grid, run, .. } = *subject;
        let at_one_temperature = grid.ensemble != Ensemble::Nve && grid.ramp_to_k.is_none();
        let velocities = (at_one_temperature && degrees_of_freedom > 0)
            .then(|| ThermalAccumulator::new(structure.masses_amu(), degrees_of_freedom, run.temperature_k));
        Ok(Thermal { velocities: velocities.transpose()? })
    }

    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        match &mut self.velocities {
            Some(velocities) if frame.step().is_multiple_of(STRIDE) => {
                velocities.push(frame.time_fs() / FS_PER_PS, frame.positions(), frame.velocities())
            }
            _ => Ok(()),
        }
    }

    fn fill(&self, run: &mut Run, _fate: &Fate) -> Result<(), MetricError> {
        run.thermal = self.velocities.as_ref().and_then(|v| v.statistics().ok()).map(|thermal| RunThermal {
            temperature_error_percent: 100.0 * thermal.temperature_error.value,
            temperature_standard_error_percent: Some(100.0 * thermal.temperature_error.standard_error)
                .filter(|e| e.is_finite()),
            kinetic_energy_p: Some(thermal.kinetic_energy_p),
            equipartition_p: Some(thermal.equipartition_p),
            equipartition_worst_percent: Some(100.0 * thermal.equipartition_worst),
        });
        Ok(())
    }
}
