//! Checks a campaign file, every complaint with its line.

use std::ops::Range;
use std::path::{Path, PathBuf};

use md_io::results::Verdict;
use toml::Spanned;

use super::file::{File, ModelTable, MoleculeTable, Paths, PrecisionKey};
use super::{
    Config, ConfigError, Device, EconomyConfig, Implementation, LimitsConfig, ModelArgument, ModelConfig,
    ModelSource, MoleculeConfig,
};

/// Frames kept of every run where the campaign says nothing.
const DEFAULT_FRAMES_PER_RUN: usize = 8;

/// The text of a campaign file and where it came from.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Reader<'_> {
    /// The checked campaign.
    pub(super) fn read(&self, extra: &[ModelArgument]) -> Result<Config, ConfigError> {
        let file: File =
            toml::from_str(self.text).map_err(|e| self.error(e.span(), with_nearest_key(e.message())))?;
        self.check(file, extra)
    }

    pub(super) fn error(&self, span: Option<Range<usize>>, message: impl Into<String>) -> ConfigError {
        let line = span.map(|s| 1 + self.text[..s.start.min(self.text.len())].matches('\n').count());
        ConfigError { file: self.path.to_owned(), line, message: message.into() }
    }

    fn check(&self, file: File, extra: &[ModelArgument]) -> Result<Config, ConfigError> {
        let name = file.campaign.name.get_ref();
        if !is_name(name) {
            return Err(self.error(Some(file.campaign.name.span()), NAME_RULE));
        }
        let models = self.models(&file.models, extra)?;
        let molecules = self.molecules(&file.molecules)?;
        Ok(Config {
            name: name.clone(),
            seed: file.campaign.seed,
            sha256: md_io::files::sha256(self.text.as_bytes()),
            runs: self.runs(&file.runs, &models, &molecules)?,
            limits: self.limits(file.limits)?,
            frames_per_run: file.campaign.frames_per_run.unwrap_or(DEFAULT_FRAMES_PER_RUN),
            economy: self.economy(file.economy)?,
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
                implementation: table.implementation,
                device: table.device,
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
                    implementation: Implementation::default(),
                    device: Device::default(),
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
                    structure: self.existing_file(table.structure.get_ref(), table.structure.span())?,
                    references: self.existing_files(table.reference.as_ref())?,
                    trajectories: self.existing_files(table.trajectory.as_ref())?,
                    frequencies_per_cm: self.frequencies(table.frequencies_per_cm.as_ref())?,
                })
            })
            .collect()
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

    fn economy(&self, table: Option<Spanned<EconomyConfig>>) -> Result<EconomyConfig, ConfigError> {
        let Some(table) = table else { return Ok(EconomyConfig::default()) };
        let span = table.span();
        let economy = table.into_inner();
        for (key, value) in [("hopeless_ps", economy.hopeless_ps), ("budget_ps", economy.budget_ps)] {
            if value.is_nan() || value <= 0.0 {
                let message = format!("economy: {key} = {value} (expected a positive number)");
                return Err(self.error(Some(span), message));
            }
        }
        Ok(economy)
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

    pub(super) fn indices(
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

    pub(super) fn positive(&self, key: &str, value: &Spanned<f64>) -> Result<f64, ConfigError> {
        let number = *value.get_ref();
        if number.is_finite() && number > 0.0 {
            Ok(number)
        } else {
            Err(self.error(Some(value.span()), format!("{key} = {number} (expected a positive number)")))
        }
    }

    fn existing_file(&self, path: &Path, span: Range<usize>) -> Result<PathBuf, ConfigError> {
        let resolved = self.resolve(path);
        if resolved.is_file() {
            Ok(resolved)
        } else {
            let message = format!(
                "there is no file '{}' (paths are relative to the folder of the campaign file)",
                resolved.display()
            );
            Err(self.error(Some(span), message))
        }
    }

    fn existing_files(&self, paths: Option<&Spanned<Paths>>) -> Result<Vec<PathBuf>, ConfigError> {
        paths.map_or(Ok(Vec::new()), |all| {
            let paths = all.get_ref().as_slice();
            paths.iter().map(|path| self.existing_file(path, all.span())).collect()
        })
    }

    fn frequencies(&self, table: Option<&Spanned<Vec<f64>>>) -> Result<Vec<f64>, ConfigError> {
        let Some(table) = table else { return Ok(Vec::new()) };
        let frequencies = table.get_ref();
        match frequencies.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
            Some(bad) => {
                let message = format!("frequencies_per_cm has {bad} (expected positive wavenumbers in 1/cm)");
                Err(self.error(Some(table.span()), message))
            }
            None => {
                let mut sorted = frequencies.clone();
                sorted.sort_by(f64::total_cmp);
                Ok(sorted)
            }
        }
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

const NAME_RULE: &str = "a name has letters, digits, '_', '-' and '.', and begins with a letter or digit: \
                         it becomes part of file names";

/// Whether `name` can be part of a file name anywhere.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

pub(super) fn unknown(what: &str, found: &str, known: &[&str]) -> String {
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
