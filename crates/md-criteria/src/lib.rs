//! Criteria for models and the verdict: `judge(&mut Results)`, a pure function of the results.
//!
//! To add a criterion of your own, add a row to one of the tables behind [`ALL`] (`table/`). It is then a key of every
//! `[criteria.USE]` table, appears in every report and in `results.json`, and takes part in the verdict.
//!
//! This crate contains no files, dynamics, networks or texts about more than one check.

mod criterion;
mod evidence;
mod reach;
pub mod statistics;
mod table;
mod verdict;

pub use criterion::{
    Bound, Criterion, EngineThreshold, Evidence, Finding, Index, Records, Scope, Subject, Theme, Uncertainty,
    definitions, find, is_looser, replaced,
};
pub use reach::{Reach, reach_ev};
pub use table::ALL;
pub use verdict::{
    Outcome, checks_of, common_factor, control_criteria, fails_every_use, judge, judge_one, outcome,
    unit_of_labels,
};
