//! Campaigns built in code.

use std::path::PathBuf;

use md_core::units::FS_PER_PS;
use md_io::trajectory::Compression;
use md_model::Precision;
use md_results::{CriteriaSet, PRODUCTION, Verdict};

use super::criteria::{defaults, not_looser};
use super::names::{NAME_RULE, fault_of_use, is_name};
use super::own::add_own;
use super::reader::DEFAULT_FRAMES_PER_RUN;
use super::{
    AdaptiveConfig, Config, ConfigError, Device, Ensemble, Implementation, Integrator, LimitsConfig,
    ModelConfig, ModelSource, MoleculeConfig, Own, RunConfig,
};

/// Replaces the file name in error messages about a campaign without a file.
const IN_CODE: &str = "campaign built in code";

impl Config {
    /// Creates a campaign without models, molecules and runs, with the default criteria for production.
    pub fn new(name: &str, seed: u64) -> Self {
        let production = CriteriaSet::new(PRODUCTION, defaults());
        Config {
            name: name.to_owned(),
            seed,
            text: String::new(),
            sha256: String::new(),
            models: Vec::new(),
            molecules: Vec::new(),
            runs: Vec::new(),
            limits: LimitsConfig::default(),
            adaptive: AdaptiveConfig::default(),
            frames_per_run: DEFAULT_FRAMES_PER_RUN,
            criteria: vec![production],
            as_read: String::new(),
        }
    }

    /// Creates an error about this campaign.
    pub(crate) fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError { file: PathBuf::from(IN_CODE), line: None, message: message.into() }
    }

    /// The SHA-256 of everything but the text of the file.
    fn content_sha256(&self) -> String {
        let content =
            Config { text: String::new(), sha256: String::new(), as_read: String::new(), ..self.clone() };
        md_io::files::sha256(format!("{content:?}").as_bytes())
    }

    /// Declares the present content to be that of the file, with the options it was read with.
    pub(crate) fn mark_as_read(&mut self) {
        self.as_read = self.content_sha256();
    }

    /// The campaign with the models and integrators of a program, checked as the reader checks a file. One that was
    /// read from a file keeps its text, unless the program has changed something else.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn with_own(mut self, own: &Own) -> Result<Self, ConfigError> {
        let is_as_read = self.as_read == self.content_sha256();
        own.check().map_err(|message| self.error(message))?;
        for potential in &own.potentials {
            add_own(&mut self.models, potential);
        }
        let (n_models, n_molecules) = (self.models.len(), self.molecules.len());
        for run in &mut self.runs {
            for (indices, n) in [(&mut run.models, n_models), (&mut run.molecules, n_molecules)] {
                if indices.is_empty() {
                    *indices = (0..n).collect();
                }
            }
        }
        self.check()?;
        for potential in &own.potentials {
            let index = self.models.iter().position(|m| m.name == potential.name);
            if !self.runs.iter().flat_map(|run| &run.models).any(|&m| Some(m) == index) {
                return Err(self.error(format!(
                    "the model '{}' is in no run: name it in a RunConfig, or give the file by CampaignBuilder::options",
                    potential.name
                )));
            }
        }
        if !is_as_read {
            // The text tells this campaign from others, when it is resumed.
            (self.text, self.sha256, self.as_read) = (String::new(), String::new(), String::new());
            self.text = format!("{self:#?}");
            self.sha256 = md_io::files::sha256(self.text.as_bytes());
        }
        Ok(self)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let of_models = self.models.iter().map(|m| &m.name);
        let of_molecules = self.molecules.iter().map(|m| &m.name);
        let mut names: Vec<&String> = [&self.name].into_iter().chain(of_models).chain(of_molecules).collect();
        if let Some(bad) = names.iter().find(|name| !is_name(name)) {
            return Err(self.error(format!("'{bad}': {NAME_RULE}")));
        }
        names = self.models.iter().map(|m| &m.name).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(self.error(format!("two models are named '{}'", twice[0])));
        }
        names = self.molecules.iter().map(|m| &m.name).collect();
        names.sort();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(self.error(format!("two molecules are named '{}'", twice[0])));
        }
        if let Some(message) = self.criteria.iter().find_map(|set| fault_of_use(&set.name)) {
            return Err(self.error(message));
        }
        for set in self.criteria.iter().filter(|set| set.name == PRODUCTION) {
            for criterion in md_criteria::ALL {
                let Some(threshold) = set.thresholds.get(criterion.key) else { continue };
                not_looser(criterion, threshold.clone()).map_err(|message| self.error(message))?;
            }
        }
        for (what, how, is_empty) in [
            ("model", "give CampaignBuilder::model", self.models.is_empty()),
            ("molecule", "add a MoleculeConfig to molecules", self.molecules.is_empty()),
            ("run", "add a RunConfig to runs", self.runs.is_empty()),
        ] {
            if is_empty {
                return Err(self.error(format!("no {what}: {how}")));
            }
        }
        for (n, run) in self.runs.iter().enumerate() {
            let wrong = |message: String| Err(self.error(format!("runs[{n}]: {message}")));
            for (what, indices, length) in [
                ("models", &run.models, self.models.len()),
                ("molecules", &run.molecules, self.molecules.len()),
            ] {
                if let Some(index) = indices.iter().find(|index| **index >= length) {
                    return wrong(format!("{what} has the index {index} (expected less than {length})"));
                }
            }
            if run.ensemble != Ensemble::Nve && !run.integrator.is_default() {
                let thermostat = run.ensemble.name();
                return wrong(format!(
                    "integrator is for Ensemble::Nve: the thermostat {thermostat} is one itself"
                ));
            }
            if let Integrator::Own(own) = &run.integrator {
                let alone = Own { integrators: vec![own.clone()], ..Own::default() };
                alone.check().or_else(wrong)?;
            }
            let positive = |x: &f64| x.is_finite() && *x > 0.0;
            if !positive(&run.timestep_fs) {
                return wrong(format!("timestep_fs = {} (expected a positive number)", run.timestep_fs));
            }
            if run.temperatures_k.is_empty() || !run.temperatures_k.iter().all(positive) {
                return wrong(format!(
                    "temperatures_k = {:?} (expected positive numbers, at least one)",
                    run.temperatures_k
                ));
            }
            for (what, value) in [
                ("steps", run.steps),
                ("replicas", u64::from(run.replicas)),
                ("record_stride", run.record_stride),
            ] {
                if value == 0 {
                    return wrong(format!("{what} is 0 (expected at least 1)"));
                }
            }
        }
        Ok(())
    }
}

impl ModelConfig {
    /// Creates a model of which APPROVED is expected, in f32 on the CPU.
    pub fn new(name: &str, source: ModelSource) -> Self {
        ModelConfig {
            name: name.to_owned(),
            source,
            precision: Precision::F32,
            implementation: Implementation::default(),
            device: Device::default(),
            expect: Verdict::Approved.into(),
        }
    }
}

impl MoleculeConfig {
    /// Creates a molecule with a structure (extended XYZ) and no reference data.
    pub fn new(name: &str, structure: impl Into<PathBuf>) -> Self {
        MoleculeConfig {
            name: name.to_owned(),
            structure: structure.into(),
            references: Vec::new(),
            trajectories: Vec::new(),
            fragments: None,
            frequencies_per_cm: Vec::new(),
        }
    }
}

impl RunConfig {
    /// Creates runs at constant energy of all models on all molecules, from relaxed structures.
    pub fn nve(timestep_fs: f64, duration_ps: f64, temperatures_k: &[f64], replicas: u32) -> Self {
        RunConfig {
            models: Vec::new(),
            molecules: Vec::new(),
            ensemble: Ensemble::Nve,
            integrator: Integrator::default(),
            ramp_to_k: None,
            equilibration_steps: 0,
            timestep_fs,
            steps: (duration_ps * FS_PER_PS / timestep_fs - 1e-6).ceil() as u64,
            temperatures_k: temperatures_k.to_vec(),
            replicas,
            relax: true,
            exact_temperature: false,
            record_stride: 1,
            trajectory_stride: None,
            trajectory_compression: Compression::None,
        }
    }
}
