//! The campaign file: strict TOML, checked to the last key before anything runs.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use md_io::results::{CriteriaSet, Threshold, ThresholdSource, Verdict};
use md_model::Precision;
use serde::Deserialize;
use toml::Spanned;

use crate::criteria;

/// The use whose every check must pass for APPROVED. Its criteria cannot be waived.
pub const PRODUCTION: &str = "production";

/// What is wrong with a campaign file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; `None` when it is about the whole file.
    pub line: Option<usize>,
    /// What was found, what was expected, what to do.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

/// A checked campaign. Paths are resolved against the folder of the campaign file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of the campaign.
    pub name: String,
    /// Seed of all random streams.
    pub seed: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Models, at least one.
    pub models: Vec<ModelConfig>,
    /// Molecules, at least one.
    pub molecules: Vec<MoleculeConfig>,
    /// Grids of runs.
    pub runs: Vec<RunConfig>,
    /// When a run is stopped.
    pub limits: LimitsConfig,
    /// Criteria by use, defaults filled in.
    pub criteria: Vec<CriteriaSet>,
}

/// One model of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Name.
    pub name: String,
    /// Where it comes from.
    pub source: ModelSource,
    /// Floating-point format of its runs.
    pub precision: Precision,
    /// The verdict that the campaign expects of it.
    pub expect: Verdict,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A checkpoint on disk.
    Checkpoint(PathBuf),
    /// The closed-form control potential: tests the engine, is not judged.
    Control,
    /// Named in the campaign, to be given with `--model NAME=CHECKPOINT`.
    NotGiven,
}

/// One molecule of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoleculeConfig {
    /// Name.
    pub name: String,
    /// Extended XYZ file; its first frame is the start.
    pub structure: PathBuf,
    /// Extended XYZ file with energies and forces not seen in training.
    pub reference: Option<PathBuf>,
}

/// A grid of runs: models x molecules x temperatures x replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// Indices of its models.
    pub models: Vec<usize>,
    /// Indices of its molecules.
    pub molecules: Vec<usize>,
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Steps of every run.
    pub steps: u64,
    /// Targets of the initial velocities, K.
    pub temperatures_k: Vec<f64>,
    /// Runs per model, molecule and temperature.
    pub replicas: u32,
    /// Whether each molecule is relaxed with the model first.
    pub relax: bool,
    /// Whether initial velocities are scaled to the temperature exactly.
    pub exact_temperature: bool,
    /// Write a frame every so many steps; `None` writes no trajectory.
    pub trajectory_stride: Option<u64>,
}

/// When a run is stopped as diverged.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Longest bond allowed, relative to its length in the structure file.
    pub bond_ratio: f64,
    /// Highest kinetic temperature allowed is this many times the target plus 1000 K.
    pub temperature_factor: f64,
    /// A bond past this ratio counts as broken.
    pub broken_bond_ratio: f64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig { bond_ratio: 2.0, temperature_factor: 10.0, broken_bond_ratio: 1.5 }
    }
}

impl LimitsConfig {
    /// Highest temperature allowed in a run that was started at `target_k`, K.
    pub fn max_temperature_k(&self, target_k: f64) -> f64 {
        1000.0 + self.temperature_factor * target_k
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    campaign: CampaignTable,
    #[serde(default, rename = "model")]
    models: Vec<ModelTable>,
    #[serde(default, rename = "molecule")]
    molecules: Vec<MoleculeTable>,
    #[serde(default, rename = "run")]
    runs: Vec<RunTable>,
    limits: Option<Spanned<LimitsConfig>>,
    #[serde(default)]
    criteria: BTreeMap<String, BTreeMap<Spanned<String>, Spanned<ThresholdValue>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CampaignTable {
    name: Spanned<String>,
    seed: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelTable {
    name: Spanned<String>,
    checkpoint: Option<PathBuf>,
    analytic: Option<Spanned<String>>,
    #[serde(default)]
    precision: PrecisionKey,
    expect: Option<Verdict>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum PrecisionKey {
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
struct MoleculeTable {
    name: Spanned<String>,
    structure: Spanned<PathBuf>,
    reference: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunTable {
    models: Option<Vec<Spanned<String>>>,
    molecules: Option<Vec<Spanned<String>>>,
    ensemble: Spanned<String>,
    timestep_fs: Spanned<f64>,
    duration_ps: Spanned<f64>,
    #[serde(rename = "temperatures_K")]
    temperatures_k: Spanned<Vec<Spanned<f64>>>,
    replicas: Spanned<u32>,
    relax: Option<bool>,
    exact_temperature: Option<bool>,
    trajectory_every_fs: Option<Spanned<f64>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(untagged, expecting = "a threshold (a number), or false to waive the criterion")]
enum ThresholdValue {
    Number(f64),
    Switch(bool),
}

/// A model given on the command line as `NAME=CHECKPOINT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelArgument {
    /// Name: replaces the model of that name, or is added.
    pub name: String,
    /// Its checkpoint, relative to the current folder.
    pub checkpoint: PathBuf,
}

impl std::str::FromStr for ModelArgument {
    type Err = String;

    fn from_str(argument: &str) -> Result<Self, String> {
        match argument.split_once('=') {
            Some((name, path)) if is_name(name) && !path.is_empty() => {
                Ok(ModelArgument { name: name.to_owned(), checkpoint: PathBuf::from(path) })
            }
            _ => Err("expected NAME=CHECKPOINT, such as tiny=checkpoints/tiny".to_owned()),
        }
    }
}

/// Reads and checks the campaign file at `path`; `extra` models are added or replace those of their name.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn load(path: &Path, extra: &[ModelArgument]) -> Result<Config, ConfigError> {
    let whole = |message: String| ConfigError { file: path.to_owned(), line: None, message };
    let text = std::fs::read_to_string(path).map_err(|e| whole(format!("cannot be read: {e}")))?;
    let sha256 = md_io::files::sha256_file(path).map_err(|e| whole(format!("cannot be read: {e}")))?;
    let reader = Reader { path, text: &text };
    let file: File = toml::from_str(&text).map_err(|e| reader.toml_error(&e))?;
    reader.check(file, sha256, extra)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn error(&self, span: Option<Range<usize>>, message: impl Into<String>) -> ConfigError {
        let line = span.map(|s| 1 + self.text[..s.start.min(self.text.len())].matches('\n').count());
        ConfigError { file: self.path.to_owned(), line, message: message.into() }
    }

    fn toml_error(&self, error: &toml::de::Error) -> ConfigError {
        self.error(error.span(), with_nearest_key(error.message()))
    }

    fn check(&self, file: File, sha256: String, extra: &[ModelArgument]) -> Result<Config, ConfigError> {
        let name = file.campaign.name.get_ref();
        if !is_name(name) {
            return Err(self.error(Some(file.campaign.name.span()), NAME_RULE));
        }
        let models = self.models(&file.models, extra)?;
        let molecules = self.molecules(&file.molecules)?;
        Ok(Config {
            name: name.clone(),
            seed: file.campaign.seed,
            sha256,
            runs: self.runs(&file.runs, &models, &molecules)?,
            limits: self.limits(file.limits)?,
            criteria: self.criteria(&file.criteria)?,
            models,
            molecules,
        })
    }

    fn models(
        &self,
        tables: &[ModelTable],
        extra: &[ModelArgument],
    ) -> Result<Vec<ModelConfig>, ConfigError> {
        self.unique_names("model", tables.iter().map(|t| &t.name))?;
        let mut models = Vec::new();
        for table in tables {
            let source = match (&table.checkpoint, &table.analytic) {
                (Some(_), Some(analytic)) => {
                    let message = "a model has either `checkpoint` or `analytic`, not both";
                    return Err(self.error(Some(analytic.span()), message));
                }
                (Some(checkpoint), None) => ModelSource::Checkpoint(self.resolve(checkpoint)),
                (None, Some(analytic)) if analytic.get_ref() == "control" => ModelSource::Control,
                (None, Some(analytic)) => {
                    let message =
                        format!("unknown analytic potential '{}' (expected \"control\")", analytic.get_ref());
                    return Err(self.error(Some(analytic.span()), message));
                }
                (None, None) => ModelSource::NotGiven,
            };
            models.push(ModelConfig {
                name: table.name.get_ref().clone(),
                source,
                precision: table.precision.into(),
                expect: table.expect.unwrap_or(Verdict::Approved),
            });
        }
        for argument in extra {
            let source = ModelSource::Checkpoint(argument.checkpoint.clone());
            match models.iter_mut().find(|m| m.name == argument.name) {
                Some(model) => model.source = source,
                None => models.push(ModelConfig {
                    name: argument.name.clone(),
                    source,
                    precision: PrecisionKey::default().into(),
                    expect: Verdict::Approved,
                }),
            }
        }
        if models.is_empty() {
            return Err(self.error(None, "no model: add a [[model]] or give --model NAME=CHECKPOINT"));
        }
        Ok(models)
    }

    fn molecules(&self, tables: &[MoleculeTable]) -> Result<Vec<MoleculeConfig>, ConfigError> {
        self.unique_names("molecule", tables.iter().map(|t| &t.name))?;
        if tables.is_empty() {
            return Err(self.error(None, "no molecule: add a [[molecule]] with `name` and `structure`"));
        }
        tables
            .iter()
            .map(|table| {
                Ok(MoleculeConfig {
                    name: table.name.get_ref().clone(),
                    structure: self.existing_file(&table.structure)?,
                    reference: table.reference.as_ref().map(|r| self.existing_file(r)).transpose()?,
                })
            })
            .collect()
    }

    fn runs(
        &self,
        tables: &[RunTable],
        models: &[ModelConfig],
        molecules: &[MoleculeConfig],
    ) -> Result<Vec<RunConfig>, ConfigError> {
        let model_names: Vec<&str> = models.iter().map(|m| m.name.as_str()).collect();
        let molecule_names: Vec<&str> = molecules.iter().map(|m| m.name.as_str()).collect();
        let named: Vec<&str> =
            tables.iter().filter_map(|t| t.models.as_ref()).flatten().map(|n| n.get_ref().as_str()).collect();
        tables.iter().map(|table| self.run(table, &model_names, &molecule_names, &named)).collect()
    }

    fn run(
        &self,
        table: &RunTable,
        model_names: &[&str],
        molecule_names: &[&str],
        named_elsewhere: &[&str],
    ) -> Result<RunConfig, ConfigError> {
        if table.ensemble.get_ref() != "nve" {
            let message = format!("unknown ensemble '{}' (expected \"nve\")", table.ensemble.get_ref());
            return Err(self.error(Some(table.ensemble.span()), message));
        }
        let timestep_fs = self.positive("timestep_fs", &table.timestep_fs)?;
        let duration_ps = self.positive("duration_ps", &table.duration_ps)?;
        // Rounded up: a run lasts at least as long as it was asked to. The margin absorbs rounding in the quotient.
        let steps = (duration_ps * md_core::units::FS_PER_PS / timestep_fs - 1e-6).ceil();
        if !(1.0..=1e12).contains(&steps) {
            let message = format!(
                "{duration_ps} ps in steps of {timestep_fs} fs are {steps} steps (expected 1 to 1e12)"
            );
            return Err(self.error(Some(table.duration_ps.span()), message));
        }
        if table.temperatures_k.get_ref().is_empty() {
            return Err(self.error(
                Some(table.temperatures_k.span()),
                "temperatures_K is empty (expected at least one)",
            ));
        }
        let temperatures_k = table
            .temperatures_k
            .get_ref()
            .iter()
            .map(|t| self.positive("temperatures_K", t))
            .collect::<Result<_, _>>()?;
        if *table.replicas.get_ref() == 0 {
            return Err(self.error(Some(table.replicas.span()), "replicas is 0 (expected at least 1)"));
        }
        let trajectory_stride = table
            .trajectory_every_fs
            .as_ref()
            .map(|every| {
                Ok((self.positive("trajectory_every_fs", every)? / timestep_fs).round().max(1.0) as u64)
            })
            .transpose()?;
        let models = match &table.models {
            Some(names) => self.indices("model", names, model_names)?,
            None => (0..model_names.len()).filter(|&m| !named_elsewhere.contains(&model_names[m])).collect(),
        };
        let molecules = match &table.molecules {
            Some(names) => self.indices("molecule", names, molecule_names)?,
            None => (0..molecule_names.len()).collect(),
        };
        Ok(RunConfig {
            models,
            molecules,
            timestep_fs,
            steps: steps as u64,
            temperatures_k,
            replicas: *table.replicas.get_ref(),
            relax: table.relax.unwrap_or(true),
            exact_temperature: table.exact_temperature.unwrap_or(false),
            trajectory_stride,
        })
    }

    fn limits(&self, table: Option<Spanned<LimitsConfig>>) -> Result<LimitsConfig, ConfigError> {
        let Some(table) = table else { return Ok(LimitsConfig::default()) };
        let span = table.span();
        let limits = table.into_inner();
        for (key, value, least) in [
            ("bond_ratio", limits.bond_ratio, 1.0),
            ("broken_bond_ratio", limits.broken_bond_ratio, 1.0),
            ("temperature_factor", limits.temperature_factor, 0.0),
        ] {
            if !(value.is_finite() && value > least) {
                let message = format!("limits: {key} = {value} (expected a number above {least})");
                return Err(self.error(Some(span), message));
            }
        }
        Ok(limits)
    }

    fn criteria(
        &self,
        tables: &BTreeMap<String, BTreeMap<Spanned<String>, Spanned<ThresholdValue>>>,
    ) -> Result<Vec<CriteriaSet>, ConfigError> {
        let defaults: BTreeMap<String, Threshold> = criteria::ALL
            .iter()
            .filter_map(|c| {
                Some((c.key.to_owned(), Threshold { value: c.default?, source: ThresholdSource::Default }))
            })
            .collect();
        let mut sets = vec![CriteriaSet { name: PRODUCTION.to_owned(), thresholds: defaults.clone() }];
        for (name, table) in tables {
            let mut thresholds = defaults.clone();
            for (key, value) in table {
                if criteria::find(key.get_ref()).is_none() {
                    let known: Vec<&str> = criteria::ALL.iter().map(|c| c.key).collect();
                    return Err(self.error(Some(key.span()), unknown("criterion", key.get_ref(), &known)));
                }
                match *value.get_ref() {
                    ThresholdValue::Number(number) if number.is_finite() => {
                        let threshold = Threshold { value: number, source: ThresholdSource::Campaign };
                        thresholds.insert(key.get_ref().clone(), threshold);
                    }
                    ThresholdValue::Switch(false) if name != PRODUCTION => {
                        thresholds.remove(key.get_ref());
                    }
                    ThresholdValue::Switch(false) => {
                        let message = format!(
                            "{} cannot be waived for production (waive it in a use of another name)",
                            key.get_ref()
                        );
                        return Err(self.error(Some(value.span()), message));
                    }
                    _ => {
                        let message =
                            format!("{}: expected a finite number, or false to waive it", key.get_ref());
                        return Err(self.error(Some(value.span()), message));
                    }
                }
            }
            match sets.iter_mut().find(|s| s.name == *name) {
                Some(set) => set.thresholds = thresholds,
                None => sets.push(CriteriaSet { name: name.clone(), thresholds }),
            }
        }
        Ok(sets)
    }

    fn unique_names<'n>(
        &self,
        what: &str,
        names: impl Iterator<Item = &'n Spanned<String>>,
    ) -> Result<(), ConfigError> {
        let mut seen = Vec::new();
        for name in names {
            if !is_name(name.get_ref()) {
                return Err(self.error(Some(name.span()), NAME_RULE));
            }
            if seen.contains(&name.get_ref()) {
                let message = format!("two {what}s are named '{}'", name.get_ref());
                return Err(self.error(Some(name.span()), message));
            }
            seen.push(name.get_ref());
        }
        Ok(())
    }

    fn indices(
        &self,
        what: &str,
        names: &[Spanned<String>],
        known: &[&str],
    ) -> Result<Vec<usize>, ConfigError> {
        names
            .iter()
            .map(|name| {
                known
                    .iter()
                    .position(|k| k == name.get_ref())
                    .ok_or_else(|| self.error(Some(name.span()), unknown(what, name.get_ref(), known)))
            })
            .collect()
    }

    fn positive(&self, key: &str, value: &Spanned<f64>) -> Result<f64, ConfigError> {
        let number = *value.get_ref();
        if number.is_finite() && number > 0.0 {
            Ok(number)
        } else {
            Err(self.error(Some(value.span()), format!("{key} = {number} (expected a positive number)")))
        }
    }

    fn existing_file(&self, path: &Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        let resolved = self.resolve(path.get_ref());
        if resolved.is_file() {
            Ok(resolved)
        } else {
            let message = format!(
                "there is no file '{}' (paths are relative to the folder of the campaign file)",
                resolved.display()
            );
            Err(self.error(Some(path.span()), message))
        }
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

const NAME_RULE: &str = "a name has letters, digits, '_', '-' and '.', and begins with a letter or digit: \
                         it becomes part of file names";

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    let list = known.join(", ");
    match nearest(found, known) {
        Some(near) => format!("unknown {what} '{found}': did you mean '{near}'? (known: {list})"),
        None => format!("unknown {what} '{found}' (known: {list})"),
    }
}

fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (strsim::jaro_winkler(&found.to_lowercase(), &k.to_lowercase()), *k))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// serde says "unknown field `x`, expected one of `a`, `b`"; a person wants the nearest one.
fn with_nearest_key(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((found, known)) if message.starts_with("unknown field") => unknown("key", found, known),
        _ => message.to_owned(),
    }
}
