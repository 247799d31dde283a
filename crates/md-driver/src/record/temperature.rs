use md_core::{Fate, SystemFrame, mechanics};
use md_metrics::{MetricError, RunningStats};
use md_results::{Run, RunTemperature};
use serde::{Deserialize, Serialize};

use super::{Metric, Subject};

/// Kinetic temperature.
#[derive(Serialize, Deserialize)]
pub(super) struct Temperature {
    degrees_of_freedom: usize,
    kelvin: RunningStats,
}

impl Metric for Temperature {
    fn new(subject: &Subject<'_>) -> Result<Self, MetricError> {
        Ok(Temperature { degrees_of_freedom: subject.degrees_of_freedom, kelvin: RunningStats::default() })
    }

    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        self.kelvin.push(mechanics::temperature_k(frame.kinetic_energy_ev(), self.degrees_of_freedom))
    }

    fn fill(&self, run: &mut Run, _fate: &Fate) -> Result<(), MetricError> {
        let kelvin = self.kelvin.summary()?;
        run.temperature = Some(RunTemperature {
            mean_k: kelvin.mean,
            std_k: kelvin.std,
            max_k: kelvin.max,
            degrees_of_freedom: self.degrees_of_freedom,
        });
        Ok(())
    }
}
