//! Builds a campaign from its parts: models, molecules, runs, output, progress and a stop flag.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use md_core::{Integrator, Potential, PotentialError, StepError};

use super::forecast::{Forecast, forecast};
use super::options::{CampaignOptions, Output, Session};
use super::whole::Campaign;
use crate::config::{Config, Own, OwnIntegrator, OwnPotential};
use crate::error::CampaignError;
use crate::progress::{Progress, Quiet};

impl<'p> Campaign<'p> {
    /// Returns a builder.
    pub fn builder() -> CampaignBuilder<'p> {
        CampaignBuilder::default()
    }
}

/// Builds a [`Campaign`].
pub struct CampaignBuilder<'p> {
    options: CampaignOptions,
    config: Option<Config>,
    own: Own,
    output: Output,
    session: Session,
    progress: &'p dyn Progress,
}

impl Default for CampaignBuilder<'_> {
    fn default() -> Self {
        CampaignBuilder {
            options: CampaignOptions::new(PathBuf::new()),
            config: None,
            own: Own::default(),
            output: Output::Memory,
            session: Session::default(),
            progress: &Quiet,
        }
    }
}

impl<'p> CampaignBuilder<'p> {
    /// Sets the campaign file and the options of the command line.
    #[must_use]
    pub fn options(mut self, options: CampaignOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the campaign, built in code or read from its file.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Adds a model that computes `potential`, or gives the model of that name its potential. Copies of it are made: one
    /// for the runs, one for the physics gates, a new one after a panic.
    #[must_use]
    pub fn model(self, name: &str, potential: impl Potential + Clone + Sync + 'static) -> Self {
        self.model_from(name, move || Ok(Box::new(potential.clone())))
    }

    /// The same with a potential that cannot be copied: `make` makes one as often as it is asked.
    #[must_use]
    pub fn model_from(
        mut self,
        name: &str,
        make: impl Fn() -> Result<Box<dyn Potential>, PotentialError> + Send + Sync + 'static,
    ) -> Self {
        self.own.potentials.push(OwnPotential { name: name.to_owned(), make: Arc::new(make) });
        self
    }

    /// Gives runs with `integrator = { kind = NAME }` their integrator: `make` makes one for a time step in fs.
    /// It has no state beyond that, so that a run that is resumed with a new one continues.
    #[must_use]
    pub fn integrator(
        mut self,
        name: &str,
        make: impl Fn(f64) -> Result<Box<dyn Integrator>, StepError> + Send + Sync + 'static,
    ) -> Self {
        self.own.integrators.push(OwnIntegrator { name: name.to_owned(), make: Arc::new(make) });
        self
    }

    /// Sets the output; the default is [`Output::Memory`].
    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sets the observer of the progress.
    #[must_use]
    pub fn progress(mut self, progress: &'p dyn Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Sets the interval between two saves of the runs in progress; the default is [`Session::SAVE_EVERY`].
    #[must_use]
    pub fn save_every(mut self, interval: Duration) -> Self {
        self.session.save_every = interval;
        self
    }

    /// Sets a flag: once true, `stop` ends the campaign soon, with its state saved: [`CampaignError::Interrupted`].
    #[must_use]
    pub fn stop(mut self, stop: Arc<AtomicBool>) -> Self {
        self.session.stop = stop;
        self
    }

    /// Reads the files of the campaign and locks the output folder, if any.
    ///
    /// # Errors
    /// Bad input, before anything is written. A folder with results that must not be overwritten, with results of other
    /// inputs, or in use by another process.
    pub fn open(self) -> Result<Campaign<'p>, CampaignError> {
        let config = self.checked_config()?;
        Ok(Campaign::open(&config, &self.options, &self.output, &self.session, self.progress)?)
    }

    /// Estimates time, memory and disk space of the campaign. Nothing is written.
    ///
    /// # Errors
    /// Bad input, and errors of the potentials.
    pub fn forecast(self) -> Result<Forecast, CampaignError> {
        let config = self.checked_config()?;
        Ok(forecast(&config, &self.options, self.progress)?)
    }

    fn checked_config(&self) -> Result<Config, CampaignError> {
        let mut config = match &self.config {
            Some(config) => config.clone().with_own(&self.own)?,
            None if self.options.config.as_os_str().is_empty() => {
                return Err(Config::new("none", 0)
                    .error("no campaign: give CampaignBuilder::config or options")
                    .into());
            }
            None => self.options.load_config(&self.own)?,
        };
        config.use_device(self.options.device);
        if self.output == Output::Memory && config.runs.iter().any(|run| run.trajectory_stride.is_some()) {
            return Err(config
                .error("trajectories need a folder: choose Output::Folder, or set trajectory_stride to None")
                .into());
        }
        Ok(config)
    }
}
