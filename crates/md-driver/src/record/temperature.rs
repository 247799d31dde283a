use md_core::{Fate, SystemFrame, mechanics};
use md_metrics::{DecimatedSeries, MetricError, RunningStats, statistics};
use md_results::{Run, RunTemperature};
use serde::{Deserialize, Serialize};

use super::{Metric, Subject};

/// Number of samples for the error of the mean.
const SAMPLES: usize = 2048;

/// Kinetic temperature.
#[derive(Serialize, Deserialize)]
pub(super) struct Temperature {
    degrees_of_freedom: usize,
    kelvin: RunningStats,
    series: DecimatedSeries,
}

impl Metric for Temperature {
    fn new(subject: &Subject<'_>) -> Result<Self, MetricError> {
        Ok(Temperature {
            degrees_of_freedom: subject.degrees_of_freedom,
            kelvin: RunningStats::default(),
            series: DecimatedSeries::new(SAMPLES),
        })
    }

    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
        let kelvin = mechanics::temperature_k(frame.kinetic_energy_ev(), self.degrees_of_freedom);
        self.series.push(frame.time_fs(), kelvin);
        self.kelvin.push(kelvin)
    }

    fn fill(&self, run: &mut Run, _fate: &Fate) -> Result<(), MetricError> {
        let kelvin = self.kelvin.summary()?;
        let samples: Vec<f64> = self.series.samples().iter().map(|(_, kelvin)| *kelvin).collect();
        let mean = statistics::mean_of_series(&samples).ok();
        run.temperature = Some(RunTemperature {
            mean_k: kelvin.mean,
            mean_standard_error_k: mean.map(|mean| mean.standard_error).filter(|error| error.is_finite()),
            std_k: kelvin.std,
            max_k: kelvin.max,
            degrees_of_freedom: self.degrees_of_freedom,
        });
        Ok(())
    }
}
