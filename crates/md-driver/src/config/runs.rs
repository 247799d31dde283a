//! The `[[run]]` tables of a campaign file.

use md_core::units::FS_PER_PS;
use md_dynamics::ThermostatKind;
use md_io::trajectory::Compression;
use toml::Spanned;

use super::file::RunTable;
use super::reader::{Reader, unknown};
use super::{ConfigError, Ensemble, ModelConfig, MoleculeConfig, RunConfig};

/// Friction of Langevin dynamics where the campaign says nothing: weak enough to leave vibrations as they are.
pub const DEFAULT_FRICTION_PER_PS: f64 = 5.0;

/// Relaxation time of the other thermostats where the campaign says nothing, fs.
pub const DEFAULT_RELAXATION_FS: f64 = 100.0;

impl Reader<'_> {
    pub(super) fn runs(
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
        let ensemble = self.ensemble(table)?;
        let timestep_fs = self.positive("timestep_fs", &table.timestep_fs)?;
        let steps = self.steps("duration_ps", &table.duration_ps, timestep_fs)?;
        let equilibration_steps = match &table.equilibrate_ps {
            Some(duration) if ensemble == Ensemble::Nve => {
                self.steps("equilibrate_ps", duration, timestep_fs)?
            }
            Some(duration) => {
                let message = "equilibrate_ps is for runs with ensemble = \"nve\": the others have a thermostat all the time";
                return Err(self.error(Some(duration.span()), message));
            }
            None => 0,
        };
        let ramp_to_k = table.ramp_to_k.as_ref().map(|to| self.ramp(ensemble, to)).transpose()?;
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
        let stride = |key: &'static str, every: &Option<Spanned<f64>>| -> Result<Option<u64>, ConfigError> {
            let Some(every) = every else { return Ok(None) };
            Ok(Some((self.positive(key, every)? / timestep_fs).round().max(1.0) as u64))
        };
        let record_stride = stride("record_every_fs", &table.record_every_fs)?.unwrap_or(1);
        let trajectory_stride = stride("trajectory_every_fs", &table.trajectory_every_fs)?;
        let trajectory_compression = match &table.trajectory_gzip {
            Some(gzip) if trajectory_stride.is_none() => {
                let message =
                    "trajectory_gzip means nothing without trajectory_every_fs: add that, or remove this";
                return Err(self.error(Some(gzip.span()), message));
            }
            Some(gzip) if *gzip.get_ref() => Compression::Gzip,
            Some(_) | None => Compression::None,
        };
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
            ensemble,
            ramp_to_k,
            equilibration_steps,
            steps,
            temperatures_k,
            replicas: *table.replicas.get_ref(),
            relax: table.relax.unwrap_or(true),
            exact_temperature: table.exact_temperature.unwrap_or(false),
            record_stride,
            trajectory_stride,
            trajectory_compression,
        })
    }

    fn ensemble(&self, table: &RunTable) -> Result<Ensemble, ConfigError> {
        let friction = table.friction_per_ps.as_ref();
        let relaxation = table.relaxation_fs.as_ref();
        let name = table.ensemble.get_ref().as_str();
        let (needs_friction, needs_relaxation) = match name {
            "nve" => (false, false),
            "langevin" => (true, false),
            "bussi" | "nose_hoover" => (false, true),
            _ => {
                let known = ["nve", "langevin", "bussi", "nose_hoover"];
                return Err(self.error(Some(table.ensemble.span()), unknown("ensemble", name, &known)));
            }
        };
        for (key, value, needed) in
            [("friction_per_ps", friction, needs_friction), ("relaxation_fs", relaxation, needs_relaxation)]
        {
            if let Some(value) = value.filter(|_| !needed) {
                let message = format!("{key} means nothing to the ensemble '{name}': remove it");
                return Err(self.error(Some(value.span()), message));
            }
        }
        let friction_per_ps =
            friction.map_or(Ok(DEFAULT_FRICTION_PER_PS), |f| self.positive("friction_per_ps", f))?;
        let relaxation_fs =
            relaxation.map_or(Ok(DEFAULT_RELAXATION_FS), |r| self.positive("relaxation_fs", r))?;
        Ok(match name {
            "langevin" => Ensemble::Thermostat(ThermostatKind::Langevin { friction_per_ps }),
            "bussi" => Ensemble::Thermostat(ThermostatKind::Bussi { relaxation_fs }),
            "nose_hoover" => Ensemble::Thermostat(ThermostatKind::NoseHoover { relaxation_fs }),
            _ => Ensemble::Nve,
        })
    }

    fn ramp(&self, ensemble: Ensemble, to: &Spanned<f64>) -> Result<f64, ConfigError> {
        match ensemble {
            Ensemble::Thermostat(ThermostatKind::Langevin { .. } | ThermostatKind::Bussi { .. }) => {
                self.positive("ramp_to_K", to)
            }
            _ => {
                let message = format!(
                    "ramp_to_K needs a thermostat that can follow a temperature: \"langevin\" or \"bussi\", not \"{}\"",
                    ensemble.name()
                );
                Err(self.error(Some(to.span()), message))
            }
        }
    }

    /// Rounded up: a run lasts at least as long as it was asked to. The margin absorbs rounding in the quotient.
    fn steps(&self, key: &str, duration_ps: &Spanned<f64>, timestep_fs: f64) -> Result<u64, ConfigError> {
        let ps = self.positive(key, duration_ps)?;
        let steps = (ps * FS_PER_PS / timestep_fs - 1e-6).ceil();
        if (1.0..=1e12).contains(&steps) {
            return Ok(steps as u64);
        }
        let message = format!("{ps} ps in steps of {timestep_fs} fs are {steps} steps (expected 1 to 1e12)");
        Err(self.error(Some(duration_ps.span()), message))
    }
}
