//! What is asked of a campaign beside its file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{self, Config, ConfigError, Device, ModelArgument, Own};
use crate::plan::{Filter, Shard};

/// The campaign file and what is asked for beside it. All of it decides what is measured, so that the state of a
/// campaign has it, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignOptions {
    /// The campaign file.
    pub config: PathBuf,
    /// Models that are added, or replace those of their names.
    pub models: Vec<ModelArgument>,
    /// Device of all models, whatever the campaign file says.
    pub device: Option<Device>,
    /// Only what matches is run.
    pub only: Vec<Filter>,
    /// Frames of earlier runs with the forces of a reference program.
    pub labels: Option<PathBuf>,
    /// Only this shard of the plan is run.
    pub shard: Option<Shard>,
    /// A model or molecule that cannot be read is reported, and the others are run.
    pub keep_going: bool,
}

impl CampaignOptions {
    /// The whole campaign of a file.
    pub fn new(config: impl Into<PathBuf>) -> Self {
        CampaignOptions {
            config: config.into(),
            models: Vec::new(),
            device: None,
            only: Vec::new(),
            labels: None,
            shard: None,
            keep_going: false,
        }
    }

    /// Reads the campaign file, and sets the models and the device that are asked for, and what the program brings.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line.
    pub fn load_config(&self, own: &Own) -> Result<Config, ConfigError> {
        let mut config = config::load(&self.config, &self.models, own)?;
        config.use_device(self.device);
        Ok(config)
    }

    /// The same with absolute paths.
    #[must_use]
    pub(super) fn absolute(&self) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let model = |m: &ModelArgument| ModelArgument { checkpoint: absolute(&m.checkpoint), ..m.clone() };
        CampaignOptions {
            config: absolute(&self.config),
            models: self.models.iter().map(model).collect(),
            labels: self.labels.as_deref().map(absolute),
            ..self.clone()
        }
    }
}

/// How a campaign begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// In a folder that holds no results yet.
    New,
    /// Where it stands, if it has begun in that folder.
    Resume,
    /// Anew, beside what the folder may hold.
    Beside,
}

/// Where a campaign writes what it measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Nowhere: `Campaign::run` returns it.
    Memory,
    /// A folder: `results.json`, frames, trajectories, and all that is needed to resume.
    Folder {
        /// The folder.
        path: PathBuf,
        /// What may be there.
        begin: Begin,
    },
}

/// How a process runs a campaign. Nothing that is measured depends on it.
#[derive(Debug, Clone)]
pub struct Session {
    /// How often the runs in progress are saved.
    pub save_every: Duration,
    /// Set from anywhere, it stops the campaign soon, with its state saved.
    pub stop: Arc<AtomicBool>,
}

impl Session {
    /// Time between two saves where nobody says.
    pub const SAVE_EVERY: Duration = Duration::from_secs(30);

    pub(super) fn is_asked_to_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Default for Session {
    fn default() -> Self {
        Session { save_every: Session::SAVE_EVERY, stop: Arc::default() }
    }
}
