//! Campaign file to plan to runs to verdict: the library behind the program `mdproof`.
//!
//! [`config`] reads the campaign file, [`plan`] makes the list of runs, [`campaign`] runs them and writes
//! `results.json`, [`criteria`] and [`verdict`] judge that file (and nothing else), [`dashboard`] prints it.

pub mod campaign;
pub mod cli;
mod compare;
pub mod config;
pub mod criteria;
pub mod dashboard;
pub mod evaluate;
pub mod frames;
pub mod gates;
mod minimum;
pub mod models;
pub mod plan;
pub mod progress;
pub mod provenance;
pub mod record;
mod shift;
pub mod speed;
mod statistics;
mod train;
pub mod verdict;
