//! Options of a campaign in addition to its file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{self, Config, ConfigError, Device, ModelArgument, Own};
use crate::plan::{Filter, Shard};

/// The campaign file and the options that determine the measurements. They are part of the stored state of a
/// campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignOptions {
    /// The campaign file.
    pub config: PathBuf,
    /// Models that are added, or replace those of the same name.
    pub models: Vec<ModelArgument>,
    /// Device of all models, which overrides the campaign file.
    pub device: Option<Device>,
    /// Filters that select the runs.
    pub only: Vec<Filter>,
    /// File of frames from earlier runs with the forces of a reference program.
    pub labels: Option<PathBuf>,
    /// Shard of the plan to run.
    pub shard: Option<Shard>,
    /// Whether a model or molecule that cannot be read is reported and the others are run.
    pub keep_going: bool,
}

impl CampaignOptions {
    /// Creates the options of the complete campaign of a file.
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

    /// Reads the campaign file, and applies the models, the device and the extensions of the calling program.
    ///
    /// # Errors
    /// The first error, with its line.
    pub fn load_config(&self, own: &Own) -> Result<Config, ConfigError> {
        let mut config = config::load(&self.config, &self.models, own)?;
        config.use_device(self.device);
        config.mark_as_read();
        Ok(config)
    }

    /// Returns the command that continues the campaign in the folder `out`.
    pub(super) fn resume(&self, out: &Path) -> String {
        let all = self.absolute();
        let mut words = vec!["mdproof validate".to_owned(), quoted(&all.config)];
        let mut add =
            |option: &str, value: &str| words.push(format!("{option} {}", quoted(Path::new(value))));
        for model in &all.models {
            add("--model", &format!("{}={}", model.name, model.checkpoint.display()));
        }
        all.only.iter().for_each(|filter| add("--only", &filter.to_string()));
        all.labels.iter().for_each(|file| add("--labels", &file.display().to_string()));
        all.device.iter().for_each(|device| add("--device", device.name()));
        all.shard.iter().for_each(|shard| add("--shard", &shard.to_string()));
        words.extend(all.keep_going.then(|| "--keep-going".to_owned()));
        words.push(format!("--out {} --resume", quoted(out)));
        words.join(" ")
    }

    /// Returns the options with absolute paths.
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

/// Returns a path as a word for a shell.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-=+:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// How a campaign treats existing results in its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Starts in a folder without results.
    New,
    /// Resumes the campaign in the folder, or starts it if there is none.
    Resume,
    /// Starts over, in a new folder beside one that has results.
    Beside,
}

/// Where a campaign writes its measurements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Nowhere: `Campaign::run` returns them.
    Memory,
    /// A folder with `results.json`, frames, trajectories, and the state needed to resume.
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// Treatment of existing contents.
        begin: Begin,
    },
}

/// How a process runs a campaign. The measurements do not depend on it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Time between two checkpoints of the runs in progress.
    pub save_every: Duration,
    /// Flag that stops the campaign soon, with its state saved; it may be set from anywhere.
    pub stop: Arc<AtomicBool>,
}

impl Session {
    /// Default time between two checkpoints.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resume_command_has_every_option_in_words_of_a_shell() {
        let mut options = CampaignOptions::new("/c/a b.toml");
        let model = |name: &str| ModelArgument { name: name.to_owned(), checkpoint: "/c/it's".into() };
        options.models = vec![model("mine")];
        options.only = vec!["molecule=water".parse().unwrap(), "replica=0".parse().unwrap()];
        options.device = Some(Device::Auto);
        options.shard = Some("2/3".parse().unwrap());
        options.keep_going = true;
        assert_eq!(
            options.resume(Path::new("/out")),
            "mdproof validate '/c/a b.toml' --model 'mine=/c/it'\\''s' --only molecule=water --only replica=0 \
             --device auto --shard 2/3 --keep-going --out /out --resume"
        );
    }
}
