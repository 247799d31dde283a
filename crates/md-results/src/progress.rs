//! `progress.json`: how far a campaign is, beside its `results.json`. Rewritten about once a second while it runs.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{ResultsError, read_json, write_json};

/// Name of the file in the output folder of a campaign.
pub const FILE: &str = "progress.json";

/// A whole `progress.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignProgress {
    /// Name of the campaign.
    pub campaign: String,
    /// Process that runs or ran it.
    pub pid: u32,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// When this was written, RFC 3339, UTC.
    pub updated: String,
    /// Whether it came to its end.
    pub finished: bool,
    /// The models of the plan, in its order.
    pub models: Vec<ModelProgress>,
}

/// How far one model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelProgress {
    /// Name of the model.
    pub name: String,
    /// Whether all its stages are over. A model without stages that is not done has not begun.
    pub done: bool,
    /// The stages that have begun, in order.
    pub stages: Vec<StageProgress>,
}

/// How far one stage of a model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageProgress {
    /// Such as `physics gates` or `24 runs`.
    pub name: String,
    /// Parts done.
    pub done: u64,
    /// Parts in all; 0 where unknown.
    pub total: u64,
    /// Whether it is over.
    pub over: bool,
    /// Seconds since it began, until its end.
    pub elapsed_s: f64,
    /// What can be seen so far, such as the drift of the runs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl StageProgress {
    /// Seconds that are left at the speed so far; `None` before the first part is done, and where nobody knows.
    pub fn remaining_s(&self) -> Option<f64> {
        let known = !self.over && self.done > 0 && self.total >= self.done;
        known.then(|| self.elapsed_s * (self.total - self.done) as f64 / self.done as f64)
    }
}

impl CampaignProgress {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn read(path: &Path) -> Result<Self, ResultsError> {
        read_json(path)
    }

    /// Writes a file, whole or not at all.
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
    fn what_is_left_follows_from_the_speed_so_far() {
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
