//! Reports of results, derived from the records alone. This crate does not make results and does not decide verdicts.

mod checks;
pub mod compare;
mod document;
mod error;
#[cfg(test)]
mod fixtures;
mod html;
mod junit;
mod markdown;
mod performance;
mod side_by_side;
pub mod status;
mod words;

pub use checks::{CriterionLine, criterion_lines, place, threshold, value};
pub use compare::{compare, contradictions};
pub use error::ReportError;
pub use html::{Trajectory, html, trajectories};
pub use junit::junit;
pub use markdown::markdown;
pub use performance::{Plot, PlotError, performance};
pub use status::status;
pub use words::{
    chance, duration, envelope, error_against_time, failure, notices, skipped, stage, unfinished, use_lines,
};
