//! Measures a run in bounded memory. To add a metric, write its file here and name it below and in `metrics!`.

mod closest_pair;
mod energy;
mod momentum;
mod stability;
mod temperature;
mod thermal;

use md_core::{Fate, Frame, Observer, ObserverError, State, System, SystemFrame, Vec3};
use md_metrics::MetricError;
use md_results::{Run, RunFate, Series};
use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::plan::PlannedRun;

/// Creates `Metrics` from fields and their types, each a [`Metric`].
macro_rules! metrics {
    ($($field:ident: $metric:ty,)*) => {
        /// All metrics of one run.
        #[derive(Serialize, Deserialize)]
        struct Metrics {
            $($field: $metric,)*
        }

        impl Metrics {
            fn new(subject: &Subject<'_>) -> Result<Self, MetricError> {
                Ok(Metrics { $($field: Metric::new(subject)?,)* })
            }

            fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError> {
                $(self.$field.observe(frame)?;)*
                Ok(())
            }

            fn fill(&self, run: &mut Run, fate: &Fate) -> Result<(), MetricError> {
                $(self.$field.fill(run, fate)?;)*
                Ok(())
            }

            fn series(&self, run: &Run) -> Vec<Series> {
                let mut series = Vec::new();
                $(series.extend(self.$field.series(run));)*
                series
            }
        }
    };
}
metrics! {
    energy: energy::Energy,
    temperature: temperature::Temperature,
    momentum: momentum::Momentum,
    thermal: thermal::Thermal,
    stability: stability::Stability,
    closest_pair: closest_pair::ClosestPair,
}

/// A measurement over one run. Its memory must not grow without bound with the number of steps.
trait Metric: Sized {
    /// Creates it before the first step.
    ///
    /// # Errors
    /// The run cannot be measured so.
    fn new(subject: &Subject<'_>) -> Result<Self, MetricError>;

    /// Adds a recorded step.
    ///
    /// # Errors
    /// A value that is not finite, for example.
    fn observe(&mut self, frame: &SystemFrame<'_>) -> Result<(), MetricError>;

    /// Writes the measurement to `run`, which ended with `fate` after one recorded step or more: to a field of its own
    /// or to [`Run::measured`].
    ///
    /// # Errors
    /// It cannot be computed.
    fn fill(&self, run: &mut Run, fate: &Fate) -> Result<(), MetricError>;

    /// Returns series for plots.
    fn series(&self, _run: &Run) -> Vec<Series> {
        Vec::new()
    }
}

/// A run before its first step.
#[derive(Clone, Copy)]
struct Subject<'a> {
    /// Structure as given, whose bonds are tracked.
    structure: &'a System,
    /// Positions at the start, Å.
    start: &'a [Vec3],
    degrees_of_freedom: usize,
    grid: &'a RunConfig,
    run: &'a PlannedRun,
    /// Ratio of its length to that in `structure` beyond which a bond is broken.
    broken_ratio: f64,
}

/// An [`Observer`] with one [`Record`] per system.
#[derive(Serialize, Deserialize)]
pub struct Recorder {
    stride: u64,
    records: Vec<Record>,
}

/// Measurements of one system.
#[derive(Serialize, Deserialize)]
pub struct Record {
    /// Number of recorded steps.
    samples: u64,
    metrics: Metrics,
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
        let records = structures
            .iter()
            .zip(planned)
            .zip(state.batch().ranges())
            .zip(state.degrees_of_freedom())
            .map(|(((structure, run), atoms), &degrees_of_freedom)| {
                let start = &state.positions()[atoms];
                let subject = Subject { structure, start, degrees_of_freedom, grid, run, broken_ratio };
                Ok(Record { samples: 0, metrics: Metrics::new(&subject)? })
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
            let record = &mut self.records[system.id];
            record.metrics.observe(&system).map_err(|source| ObserverError {
                observer: "the recorder".to_owned(),
                step: system.step(),
                source: Box::new(source),
            })?;
            record.samples += 1;
        }
        Ok(())
    }
}

impl Record {
    /// Writes the measurements to `run`, which was planned with `steps` steps. They are absent if the system diverged
    /// before its first sample.
    ///
    /// # Errors
    /// The metrics failed.
    pub fn fill(&self, run: &mut Run, fate: &Fate, steps: u64) -> Result<(), MetricError> {
        (run.fate, run.fate_reason, run.steps_done) = match fate {
            Fate::Finished => (RunFate::Finished, None, steps),
            Fate::Diverged { step, reason } => (RunFate::Diverged, Some(reason.to_string()), *step),
        };
        if self.samples == 0 { Ok(()) } else { self.metrics.fill(run, fate) }
    }

    /// Returns the series for plots.
    pub fn series(&self, run: &Run) -> Vec<Series> {
        self.metrics.series(run)
    }
}

#[cfg(test)]
mod tests {
    use md_core::Element;
    use md_dynamics::{RunOptions, Target, ThermostatKind, VelocityOptions};
    use md_io::trajectory::Compression;
    use md_probe::analytic::Control;

    use super::*;
    use crate::config::{Ensemble, Integrator};

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
            assert_eq!(recorder.records[0].samples, steps + 1);
            rmp_serde::to_vec_named(&recorder).unwrap().len()
        };
        // All series are full after 16,384 steps and at least half full from then on.
        let (short, long) = (bytes_after(20_000, &mut control), bytes_after(80_000, &mut control));
        assert!(long < short + short / 2, "{short} bytes, then {long}");
    }
}
