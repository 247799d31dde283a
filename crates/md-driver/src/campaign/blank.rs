//! Creates results without measurements.

use md_results::{Results, SCHEMA_VERSION};

use super::options::CampaignOptions;
use crate::config::Config;
use crate::molecule::LoadedMolecule;
use crate::plan::Filter;
use crate::provenance;

/// Creates the results of a campaign before its first measurement.
pub(super) fn nothing_yet(
    config: &Config,
    options: &CampaignOptions,
    molecules: &[LoadedMolecule],
) -> Results {
    Results {
        schema_version: SCHEMA_VERSION,
        campaign: md_results::Campaign {
            name: config.name.clone(),
            config_sha256: config.sha256.clone(),
            seed: config.seed,
            finished: String::new(),
            started: String::new(),
            only: options.only.iter().map(Filter::to_string).collect(),
            shard: options.shard.map(|shard| shard.to_string()),
            left_out: Vec::new(),
            plan: Vec::new(),
            resume: None,
            limits: Some(md_results::RunLimits {
                bond_ratio: config.limits.bond_ratio,
                temperature_factor: config.limits.temperature_factor,
                broken_bond_ratio: config.limits.broken_bond_ratio,
            }),
        },
        provenance: provenance::provenance(),
        criteria: config.criteria.clone(),
        molecules: molecules.iter().map(|m| m.record.clone()).collect(),
        models: Vec::new(),
        relaxations: Vec::new(),
        gates: Vec::new(),
        runs: Vec::new(),
        evaluations: Vec::new(),
        speed: Vec::new(),
        machine: Vec::new(),
        survival: Vec::new(),
        comparisons: Vec::new(),
        shifts: Vec::new(),
        coverages: Vec::new(),
        attributions: Vec::new(),
        timesteps: Vec::new(),
        economy: Vec::new(),
        remarks: Vec::new(),
        failures: Vec::new(),
        series: Vec::new(),
        files: Vec::new(),
    }
}
