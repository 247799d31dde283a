//! Mutants of a sound model and campaigns that ask too little: none is APPROVED that is not sound.
//!
//! `cargo xtask acceptance` measures all and prints the tables; the tests take a part of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod campaigns;
mod mutants;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use md_driver::campaign::Campaign;
use md_driver::config::{Config, ModelConfig, ModelSource, MoleculeConfig, RunConfig};
use md_results::{Model, Results, Status, Verdict};

/// Molecules of the campaigns.
const MOLECULES: [&str; 2] = ["water", "methane"];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The checkpoint that the mutants are made of.
fn tiny() -> PathBuf {
    repository("data/checkpoints/tiny")
}

/// Labelled frames that `tiny` was not trained on.
fn held_out(molecule: &str) -> Vec<PathBuf> {
    [300, 600].map(|kelvin| repository(&format!("data/test/{molecule}_{kelvin}K.extxyz.gz"))).into()
}

/// A campaign that asks for as much as production needs, without models.
fn enough() -> Config {
    let mut config = Config::new("acceptance", 1);
    for name in MOLECULES {
        let structure = repository(&format!("data/molecules/{name}.xyz"));
        config
            .molecules
            .push(MoleculeConfig { references: held_out(name), ..MoleculeConfig::new(name, structure) });
    }
    config.runs.push(RunConfig::nve(0.5, 10.0, &[100.0, 300.0], 2));
    config
}

/// A model from a checkpoint.
fn student(path: PathBuf) -> ModelConfig {
    ModelConfig::new("mutant", ModelSource::Checkpoint(path))
}

/// Runs a campaign in memory.
fn run(config: Config) -> Result<Results, String> {
    let campaign = Campaign::builder().config(config).open().map_err(|error| md_driver::in_full(&error))?;
    campaign.run().map_err(|error| md_driver::in_full(&error))
}

/// Returns the verdict and what it rests on, in short.
fn verdict(found: &Result<Results, String>) -> (Option<Verdict>, String) {
    match found {
        Ok(results) => {
            let model = &results.models[0];
            (model.verdict, named_by(model))
        }
        Err(error) => (None, error.clone()),
    }
}

/// Names the criteria of production that do not pass, failures first.
fn named_by(model: &Model) -> String {
    let mut named: Vec<(Status, &str)> = Vec::new();
    for check in model.checks.iter().filter(|c| c.use_name == "production" && c.status.is_open_or_bad()) {
        match named.iter_mut().find(|(_, id)| *id == check.id) {
            Some((status, _)) => *status = check.status.max(*status),
            None => named.push((check.status, &check.id)),
        }
    }
    named.sort_by_key(|(status, _)| std::cmp::Reverse(*status));
    let words: Vec<String> =
        named.iter().take(3).map(|(status, id)| format!("{} {id}", status.label())).collect();
    match named.len().saturating_sub(3) {
        0 => words.join(", "),
        more => format!("{}, {more} more", words.join(", ")),
    }
}

/// A table of two or more columns, aligned.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|n| width(n).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "{cell:width$}  ");
        }
        text = text.trim_end().to_owned() + "\n";
    }
    text
}
