//! Checks a campaign file, every complaint with its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use md_io::results::{CriteriaSet, Threshold, ThresholdSource, Verdict};
use toml::Spanned;

use super::file::{File, ModelTable, MoleculeTable, PrecisionKey, RunTable, ThresholdValue};
use super::{
    Config, ConfigError, LimitsConfig, ModelArgument, ModelConfig, ModelSource, MoleculeConfig, PRODUCTION,
    RunConfig,
};
use crate::criteria;

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

    fn error(&self, span: Option<Range<usize>>, message: impl Into<String>) -> ConfigError {
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
                    structure: self.existing_file(table.structure.get_ref(), table.structure.span())?,
                    references: table.reference.as_ref().map_or(Ok(Vec::new()), |all| {
                        let paths = all.get_ref().as_slice();
                        paths.iter().map(|path| self.existing_file(path, all.span())).collect()
                    })?,
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
