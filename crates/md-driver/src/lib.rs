//! Runs campaigns as a library: from a campaign file to a plan, runs and `results.json`.
//!
//! [`config`] reads the campaign file, [`plan`] creates the list of runs, [`campaign`] runs them and writes
//! `results.json`, which `md_criteria` judges.
//!
//! This crate contains no command line, progress bars, signals, exit statuses or statics.

pub mod campaign;
pub mod config;
mod curves;
mod error;
pub mod frames;
mod geometries;
mod interruptible;
mod labels;
pub mod measure;
pub mod models;
pub mod molecule;
pub mod plan;
pub mod progress;
pub mod provenance;
pub mod record;
mod start;
mod structure;
mod trained;

use std::error::Error;

pub use error::CampaignError;
pub use interruptible::Interruptible;

/// Formats an error with its causes, leaving out those that its message contains already.
pub fn in_full(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text += &format!(": {words}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_full_names_each_cause_once() {
        let checkpoint = md_model::Checkpoint::load(std::path::Path::new("/nowhere")).unwrap_err();
        let error = anyhow::Error::from(checkpoint).context("model 'm'");
        let text = in_full(error.as_ref());
        assert!(text.starts_with("model 'm': checkpoint /nowhere: cannot be read: "), "{text}");
        assert_eq!(text.matches("cannot be read").count(), 1, "{text}");
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
    }
}
