//! Structure of the campaign file before validation.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use md_model::Precision;
use serde::Deserialize;
use toml::Spanned;

use super::{AdaptiveConfig, Device, Implementation, LimitsConfig};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) campaign: CampaignTable,
    #[serde(default, rename = "model")]
    pub(super) models: Vec<ModelTable>,
    #[serde(default, rename = "molecule")]
    pub(super) molecules: Vec<MoleculeTable>,
    #[serde(default, rename = "run")]
    pub(super) runs: Vec<RunTable>,
    pub(super) limits: Option<Spanned<LimitsConfig>>,
    #[serde(alias = "economy")]
    pub(super) adaptive: Option<Spanned<AdaptiveConfig>>,
    #[serde(default)]
    pub(super) criteria: BTreeMap<String, BTreeMap<Spanned<String>, Spanned<ThresholdValue>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CampaignTable {
    pub(super) name: Spanned<String>,
    pub(super) seed: u64,
    pub(super) frames_per_run: Option<Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelTable {
    pub(super) name: Spanned<String>,
    pub(super) checkpoint: Option<PathBuf>,
    pub(super) analytic: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) precision: PrecisionKey,
    #[serde(default)]
    pub(super) implementation: Implementation,
    #[serde(default)]
    pub(super) device: Device,
    pub(super) expect: Option<Spanned<String>>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
pub(super) enum PrecisionKey {
    #[default]
    F32,
    F64,
}

impl From<PrecisionKey> for Precision {
    fn from(key: PrecisionKey) -> Self {
        match key {
            PrecisionKey::F32 => Precision::F32,
            PrecisionKey::F64 => Precision::F64,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoleculeTable {
    pub(super) name: Spanned<String>,
    pub(super) structure: Spanned<PathBuf>,
    #[serde(default)]
    pub(super) reference: Option<Spanned<Paths>>,
    #[serde(default)]
    pub(super) trajectory: Option<Spanned<Paths>>,
    pub(super) fragments: Option<NonZeroUsize>,
    #[serde(default)]
    pub(super) frequencies_per_cm: Option<Spanned<Vec<f64>>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a path, or a list of paths")]
pub(super) enum Paths {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Paths {
    pub(super) fn as_slice(&self) -> &[PathBuf] {
        match self {
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunTable {
    pub(super) models: Option<ListOfNames>,
    pub(super) molecules: Option<ListOfNames>,
    pub(super) ensemble: Spanned<String>,
    pub(super) integrator: Option<Spanned<IntegratorTable>>,
    pub(super) timestep_fs: Spanned<f64>,
    pub(super) duration_ps: Spanned<f64>,
    #[serde(rename = "temperatures_K")]
    pub(super) temperatures_k: Spanned<Vec<Spanned<f64>>>,
    pub(super) replicas: Spanned<u32>,
    pub(super) relax: Option<bool>,
    pub(super) exact_temperature: Option<bool>,
    pub(super) record_every_fs: Option<Spanned<f64>>,
    pub(super) trajectory_every_fs: Option<Spanned<f64>>,
    pub(super) trajectory_gzip: Option<Spanned<bool>>,
    pub(super) friction_per_ps: Option<Spanned<f64>>,
    pub(super) relaxation_fs: Option<Spanned<f64>>,
    #[serde(rename = "ramp_to_K")]
    pub(super) ramp_to_k: Option<Spanned<f64>>,
    pub(super) equilibrate_ps: Option<Spanned<f64>>,
}

/// Value of `integrator` in a `[[run]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { kind = \"velocity_verlet\" }")]
pub(super) struct IntegratorTable {
    pub(super) kind: Spanned<String>,
}

/// List of names in a `[[run]]`.
pub(super) type ListOfNames = Spanned<Vec<Spanned<String>>>;

#[derive(Deserialize, Clone, Copy)]
#[serde(
    untagged,
    expecting = "a threshold (a number), { good = NUMBER, bad = NUMBER }, or false to waive the criterion"
)]
pub(super) enum ThresholdValue {
    Number(f64),
    Switch(bool),
    Pair(Pair),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields)]
pub(super) struct Pair {
    pub(super) good: f64,
    pub(super) bad: f64,
}
