//! Campaign file to plan to runs to verdict: the library behind the program `mdproof`.
//!
//! [`config`] reads the campaign file, [`plan`] makes the list of runs, [`campaign`] runs them and writes
//! `results.json`, [`criteria`] and [`verdict`] judge that file (and nothing else), [`dashboard`] prints it.

pub mod campaign;
pub mod cli;
mod compare;
pub mod config;
pub mod criteria;
mod curves;
pub mod dashboard;
mod doctor;
pub mod evaluate;
pub mod exit;
pub mod frames;
pub mod gates;
mod geometries;
mod interrupt;
mod labels;
mod minimum;
pub mod models;
pub mod plan;
pub mod progress;
pub mod provenance;
pub mod record;
mod reports;
mod shift;
pub mod speed;
mod statistics;
mod train;
mod validate;
pub mod verdict;

/// An error with its causes, but for those that it has named already.
pub(crate) fn in_full(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named_once() {
        let checkpoint = md_model::Checkpoint::load(std::path::Path::new("/nowhere")).unwrap_err();
        let error = anyhow::Error::from(checkpoint).context("model 'm'");
        let text = in_full(&error);
        assert!(text.starts_with("model 'm': checkpoint /nowhere: cannot be read: "), "{text}");
        assert_eq!(text.matches("cannot be read").count(), 1, "{text}");
        assert_eq!(text.matches("No such file").count(), 1, "{text}");
    }
}
