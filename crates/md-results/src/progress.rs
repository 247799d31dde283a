//! `progress.json`: the progress of a campaign, beside its `results.json`. It is rewritten about once a second.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ResultsError, plain, read_json, write_json};

/// Name of the file in the output folder of a campaign.
pub const FILE: &str = "progress.json";

/// Contents of `progress.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignProgress {
    /// Name of the campaign.
    pub campaign: String,
    /// Identifier of the process that runs or ran the campaign.
    pub pid: u32,
    /// Start of the campaign, RFC 3339, UTC.
    pub started: String,
    /// Time of the last update, RFC 3339, UTC.
    pub updated: String,
    /// Whether the campaign is finished.
    pub finished: bool,
    /// Reason why the campaign was stopped before its end; absent while it runs, and if it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Command that continues the campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// Number of runs made, and of those planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<[usize; 2]>,
    /// Progress of the models of the plan, in its order.
    pub models: Vec<ModelProgress>,
}

/// Progress of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelProgress {
    /// Name of the model.
    pub name: String,
    /// Whether all its stages are finished. A model without stages that is not done has not started.
    pub done: bool,
    /// Progress of the stages that have started, in order.
    pub stages: Vec<StageProgress>,
}

/// Progress of one stage of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageProgress {
    /// Name, such as `physics gates` or `24 runs`.
    pub name: String,
    /// Number of finished parts.
    pub done: u64,
    /// Total number of parts; 0 where unknown.
    pub total: u64,
    /// Whether the stage is finished.
    pub over: bool,
    /// Seconds since the start of the stage, or its duration once finished.
    #[serde(deserialize_with = "crate::nan::read")]
    pub elapsed_s: f64,
    /// Preliminary result, such as the drift of the runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl StageProgress {
    /// Returns the estimated remaining time in seconds; `None` before the first part is finished or where the total is
    /// unknown.
    pub fn remaining_s(&self) -> Option<f64> {
        let known = !self.over && self.done > 0 && self.total >= self.done;
        known.then(|| self.elapsed_s * (self.total - self.done) as f64 / self.done as f64)
    }
}

impl CampaignProgress {
    /// Reads a file. Its texts lose their control characters.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn read(path: &Path) -> Result<Self, ResultsError> {
        let mut value: serde_json::Value = read_json(path)?;
        plain::clean(&mut value);
        serde_json::from_value(value).map_err(|source| ResultsError::Json { path: path.to_owned(), source })
    }

    /// Writes a file atomically.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn write(&self, path: &Path) -> Result<(), ResultsError> {
        write_json(path, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_s_extrapolates_elapsed_time() {
        let stage = |done, total, over| StageProgress {
            name: "runs".to_owned(),
            done,
            total,
            over,
            elapsed_s: 12.0,
            note: String::new(),
        };
        assert_eq!(stage(3, 9, false).remaining_s(), Some(24.0));
        assert_eq!(stage(0, 9, false).remaining_s(), None);
        assert_eq!(stage(3, 0, false).remaining_s(), None);
        assert_eq!(stage(3, 9, true).remaining_s(), None);
    }
}
