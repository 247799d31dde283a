//! Findings in the wording of the records, and their provenance.

use std::collections::BTreeMap;

use md_results::{Envelope, Expectation, FailureMode, Model, Results, Role, Verdict, number, with_unit};
use serde::Serialize;

use super::budget::{Budget, ROWS};
use super::items::Table;
use crate::words::{chance, lasts, stage, temperatures};

/// Verdict on a model.
#[derive(Debug, Serialize)]
pub(super) struct VerdictCard<'a> {
    model: &'a str,
    verdict: Option<&'static str>,
    expected: Option<&'a str>,
    uses: &'a [String],
    summary: &'a str,
    about: String,
    device_note: Option<&'a str>,
    assumptions: &'a [String],
}

/// Returns the verdicts, candidates first.
pub(super) fn verdicts(results: &Results) -> Vec<VerdictCard<'_>> {
    let mut models: Vec<&Model> = results.models.iter().collect();
    models.sort_by_key(|m| m.role == Role::Control);
    models
        .into_iter()
        .map(|m| {
            let mut about = vec![m.architecture.clone()];
            about.extend(m.parameters.map(|n| format!("{n} parameters")));
            about.push(m.precision.clone());
            about.extend(m.device.clone());
            VerdictCard {
                model: &m.name,
                verdict: m.verdict.map(Verdict::label),
                expected: m.expected.as_ref().map(Expectation::label),
                uses: &m.uses,
                summary: &m.summary,
                about: about.join(", "),
                device_note: m.device_note.as_deref(),
                assumptions: &m.assumptions,
            }
        })
        .collect()
}

/// Findings about a model.
#[derive(Debug, Serialize)]
pub(super) struct Found<'a> {
    model: &'a str,
    control: bool,
    modes: &'a [FailureMode],
    uses: &'a [String],
    envelope: Vec<(&'static str, String)>,
    chance: Option<String>,
    survival: Vec<(&'a str, &'a str)>,
}

/// Returns the findings about every model that has tables of its own.
pub(super) fn findings<'a>(results: &'a Results, budget: &Budget<'_>) -> Vec<Found<'a>> {
    let mut survival: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for s in &results.survival {
        let place = s.molecule.as_deref().unwrap_or("all molecules");
        survival.entry(&s.model).or_default().push((place, s.statement.as_str()));
    }
    budget
        .models(results)
        .map(|m| Found {
            model: &m.name,
            control: m.role == Role::Control,
            modes: &m.failure_modes,
            uses: &m.uses,
            envelope: envelope(&m.envelope),
            chance: chance(m),
            survival: survival.remove(m.name.as_str()).unwrap_or_default(),
        })
        .collect()
}

fn envelope(envelope: &Envelope) -> Vec<(&'static str, String)> {
    let joined = |parts: &[String]| Some(parts.join(" ")).filter(|t| !t.is_empty());
    let rows = [
        ("molecules of which every run finished", joined(&envelope.molecules)),
        ("elements", joined(&envelope.elements)),
        ("atoms", envelope.atoms.map(|[fewest, most]| format!("{fewest} to {most}"))),
        ("temperatures at which every run finished", Some(temperatures(envelope)).filter(|t| !t.is_empty())),
        ("shortest of the longest runs at each", envelope.duration_ps.map(|ps| with_unit(ps, "ps"))),
        ("shortest time step of those", envelope.timestep_fs.map(|fs| with_unit(fs, "fs"))),
        ("longest safe time step", envelope.largest_safe_timestep_fs.map(|fs| with_unit(fs, "fs"))),
        ("shown to last", lasts(envelope)),
    ];
    rows.into_iter().map(|(name, text)| (name, text.unwrap_or_else(|| "none".to_owned()))).collect()
}

/// Creates the table of failed stages.
pub(super) fn failures(results: &Results) -> Option<Table> {
    let rows = results.failures.iter().take(ROWS).map(|f| {
        let molecule = f.molecule.clone().unwrap_or_else(|| "all".to_owned());
        vec![f.model.clone(), molecule, stage(f.stage).to_owned(), f.reason.clone()]
    });
    Table::new(["model", "molecule", "stage", "reason"], rows)
}

/// Returns campaign, program and machine.
pub(super) fn provenance(results: &Results) -> Vec<(&'static str, String)> {
    let (campaign, made) = (&results.campaign, &results.provenance);
    let unknown = || "unknown".to_owned();
    let mut rows = vec![
        ("campaign", campaign.name.clone()),
        ("SHA-256 of the campaign file", campaign.config_sha256.clone()),
        ("seed", campaign.seed.to_string()),
        ("started", campaign.started.clone()),
        ("finished", campaign.finished.clone()),
        ("mdproof", made.mdproof_version.clone()),
        ("git commit", made.git_commit.clone().unwrap_or_else(unknown)),
        ("cpu", made.cpu.clone().unwrap_or_else(unknown)),
        ("threads", made.threads.to_string()),
        ("device asked for", made.device_requested.clone()),
        ("device used", made.device_used.clone()),
    ];
    if !campaign.only.is_empty() {
        rows.push(("restricted to", campaign.only.join(", ")));
    }
    rows
}

/// Creates the table of the CPU's peak performance.
pub(super) fn machine(results: &Results) -> Option<Table> {
    let rows = results.machine.iter().map(|m| {
        let rates = [m.gemm_f32_gflop_per_s, m.gemm_f64_gflop_per_s, m.memory_gb_per_s];
        [m.threads.to_string()].into_iter().chain(rates.map(number)).collect()
    });
    Table::new(
        ["threads", "matrix products f32, GFLOP/s", "matrix products f64, GFLOP/s", "memory, GB/s"],
        rows,
    )
}

/// Creates the table of checkpoints and structures with their SHA-256.
pub(super) fn checkpoints(results: &Results) -> Option<Table> {
    let models = results.models.iter().map(|m| {
        let sha256 = m.checkpoint_sha256.clone().unwrap_or_else(|| "closed form".to_owned());
        vec!["model".to_owned(), m.name.clone(), sha256]
    });
    let molecules = results
        .molecules
        .iter()
        .map(|m| vec!["structure".to_owned(), m.name.clone(), m.structure_sha256.clone()]);
    Table::new(["kind", "name", "SHA-256"], models.chain(molecules))
}
