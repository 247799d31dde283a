//! Validation of a campaign file; every error has its line.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};

use md_results::{CriteriaSet, Expectation, Verdict};
use toml::Spanned;

use super::file::{File, ModelTable, MoleculeTable, Paths};
use super::names::{NAME_RULE, is_name, shown, unknown, verdict_named, written};
use super::own::add_own;
use super::{
    AdaptiveConfig, Config, ConfigError, LimitsConfig, ModelArgument, ModelConfig, ModelSource,
    MoleculeConfig, Own,
};

/// Default number of frames stored of every run.
pub(super) const DEFAULT_FRAMES_PER_RUN: usize = 8;

/// Maximum number of frames stored of every run; they stay in memory until it ends.
const MOST_FRAMES_PER_RUN: usize = 10_000;

/// Maximum number of replicas added while a check is undecided.
const MOST_EXTRA_REPLICAS: u32 = 10_000;

/// Maximum number of characters of a message.
const MOST_MESSAGE: usize = 2000;

/// Thermal vibrations stretch bonds by 20 %: a limit below this ratio would end runs of sound models.
const SOUND_BOND_RATIO: f64 = 1.25;

/// Text and path of a campaign file.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
    pub(super) own: &'a Own,
}

impl Reader<'_> {
    /// Returns the validated campaign.
    pub(super) fn read(&self, extra: &[ModelArgument]) -> Result<Config, ConfigError> {
        let file: File =
            toml::from_str(self.text).map_err(|e| self.error(e.span(), in_words(e.message())))?;
        self.check(file, extra)
    }

    pub(super) fn error(&self, span: Option<Range<usize>>, message: impl Into<String>) -> ConfigError {
        let newlines = |end: usize| self.text.bytes().take(end).filter(|&b| b == b'\n').count();
        let line = span.map(|s| 1 + newlines(s.start));
        ConfigError { file: self.path.to_owned(), line, message: shown(&message.into(), MOST_MESSAGE) }
    }

    fn check(&self, file: File, extra: &[ModelArgument]) -> Result<Config, ConfigError> {
        self.own.check().map_err(|message| self.error(None, message))?;
        let name = file.campaign.name.get_ref();
        if !is_name(name) {
            return Err(self.error(Some(file.campaign.name.span()), NAME_RULE));
        }
        let criteria = self.criteria(&file.criteria)?;
        let models = self.models(&file.models, extra, &criteria)?;
        let molecules = self.molecules(&file.molecules)?;
        if file.runs.is_empty() {
            let message = "no run: add a [[run]] with `ensemble`, `timestep_fs`, `duration_ps`, `temperatures_K` and `replicas`";
            return Err(self.error(None, message));
        }
        let mut config = Config {
            name: name.clone(),
            seed: file.campaign.seed,
            text: self.text.to_owned(),
            sha256: md_io::files::sha256(self.text.as_bytes()),
            runs: self.runs(&file.runs, &models, &molecules)?,
            limits: self.limits(file.limits)?,
            frames_per_run: self.frames_per_run(file.campaign.frames_per_run.as_ref())?,
            adaptive: self.adaptive(file.adaptive)?,
            criteria,
            models,
            molecules,
            as_read: String::new(),
        };
        config.mark_as_read();
        Ok(config)
    }

    fn frames_per_run(&self, frames: Option<&Spanned<usize>>) -> Result<usize, ConfigError> {
        let Some(frames) = frames else { return Ok(DEFAULT_FRAMES_PER_RUN) };
        let n = *frames.get_ref();
        if n <= MOST_FRAMES_PER_RUN {
            return Ok(n);
        }
        let message = format!(
            "frames_per_run = {n} (expected at most {MOST_FRAMES_PER_RUN}; trajectory_every_fs of a [[run]] writes all)"
        );
        Err(self.error(Some(frames.span()), message))
    }

    fn models(
        &self,
        tables: &[ModelTable],
        extra: &[ModelArgument],
        uses: &[CriteriaSet],
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
                expect: self.expectation(table.expect.as_ref(), uses)?,
            });
        }
        for (n, argument) in extra.iter().enumerate() {
            if let Some(other) = extra[..n].iter().find(|other| other.name == argument.name) {
                let [first, second] = [other, argument].map(|a| a.checkpoint.display());
                let message = format!(
                    "two --model are named '{}' ({first} and {second}): give each a name of its own",
                    argument.name
                );
                return Err(self.error(None, message));
            }
            let source = ModelSource::Checkpoint(argument.checkpoint.clone());
            match models.iter_mut().find(|m| m.name == argument.name) {
                Some(model) => model.source = source,
                None => models.push(ModelConfig::new(&argument.name, source)),
            }
        }
        self.own.potentials.iter().for_each(|potential| add_own(&mut models, potential));
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
                    fragments: table.fragments.map(NonZeroUsize::get),
                    frequencies_per_cm: self.frequencies(table.frequencies_per_cm.as_ref())?,
                })
            })
            .collect()
    }

    fn limits(&self, table: Option<Spanned<LimitsConfig>>) -> Result<LimitsConfig, ConfigError> {
        let Some(table) = table else { return Ok(LimitsConfig::default()) };
        let span = table.span();
        let limits = table.into_inner();
        for (key, value, least, most) in [
            ("bond_ratio", limits.bond_ratio, SOUND_BOND_RATIO, 10.0),
            ("broken_bond_ratio", limits.broken_bond_ratio, SOUND_BOND_RATIO, 10.0),
            ("temperature_factor", limits.temperature_factor, 1.0, 1000.0),
        ] {
            if !(least..=most).contains(&value) {
                let message = format!("limits: {key} = {value} (expected a number from {least} to {most})");
                return Err(self.error(Some(span), message));
            }
        }
        Ok(limits)
    }

    /// Returns what is expected of a model: a verdict, or a use that it must pass.
    fn expectation(
        &self,
        given: Option<&Spanned<String>>,
        uses: &[CriteriaSet],
    ) -> Result<Expectation, ConfigError> {
        let Some(given) = given else { return Ok(Verdict::Approved.into()) };
        let name = given.get_ref();
        if let Some(verdict) = verdict_named(name) {
            return Ok(verdict.into());
        }
        if uses.iter().any(|set| set.name == *name) {
            return Ok(Expectation::Use { name: name.clone() });
        }
        let verdicts = Verdict::ALL.map(|verdict| verdict.label().to_lowercase());
        let known = verdicts.iter().chain(uses.iter().map(|set| &set.name)).map(String::as_str);
        let message = unknown("verdict or use", name, &known.collect::<Vec<_>>());
        Err(self.error(Some(given.span()), message))
    }

    fn adaptive(&self, table: Option<Spanned<AdaptiveConfig>>) -> Result<AdaptiveConfig, ConfigError> {
        let Some(table) = table else { return Ok(AdaptiveConfig::default()) };
        let span = table.span();
        let adaptive = table.into_inner();
        for (key, value) in [("early_stop_ps", adaptive.early_stop_ps), ("budget_ps", adaptive.budget_ps)] {
            if value.is_nan() || value <= 0.0 {
                let message = format!("adaptive: {key} = {value} (expected a positive number)");
                return Err(self.error(Some(span), message));
            }
        }
        if adaptive.max_extra_replicas > MOST_EXTRA_REPLICAS {
            let message = format!(
                "adaptive: max_extra_replicas = {} (expected at most {MOST_EXTRA_REPLICAS})",
                adaptive.max_extra_replicas
            );
            return Err(self.error(Some(span), message));
        }
        Ok(adaptive)
    }

    fn unique_names<'n>(
        &self,
        what: &str,
        names: impl Iterator<Item = &'n Spanned<String>>,
    ) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        for name in names {
            if !is_name(name.get_ref()) {
                return Err(self.error(Some(name.span()), NAME_RULE));
            }
            if !seen.insert(name.get_ref()) {
                let message = format!("two {what}s are named '{}'", name.get_ref());
                return Err(self.error(Some(name.span()), message));
            }
        }
        Ok(())
    }

    /// Checks that a number is positive and of a plausible magnitude.
    pub(super) fn positive(&self, key: &str, value: &Spanned<f64>) -> Result<f64, ConfigError> {
        let number = *value.get_ref();
        let expected = if !(number.is_finite() && number > 0.0) {
            "a positive number"
        } else if !(1e-9..=1e15).contains(&number) {
            "a number from 1e-9 to 1e15"
        } else {
            return Ok(number);
        };
        let message = format!("{key} = {} (expected {expected})", written(number));
        Err(self.error(Some(value.span()), message))
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

/// Rephrases a message of the parser. "unknown field `x`, expected one of `a`, `b`" becomes the nearest of them.
fn in_words(message: &str) -> String {
    if message.contains("recurs") {
        return "values or keys are nested deeper than in any campaign: see configs/ for examples".to_owned();
    }
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((found, known)) if message.starts_with("unknown field") => unknown("key", found, known),
        _ => message.to_owned(),
    }
}
