//! The `[[run]]` tables of a campaign file.

use std::collections::{BTreeMap, BTreeSet};

use md_core::units::FS_PER_PS;
use md_dynamics::{IntegratorKind, ThermostatKind};
use md_io::trajectory::Compression;
use toml::Spanned;

use super::file::{ListOfNames, RunTable};
use super::names::unknown;
use super::reader::Reader;
use super::{ConfigError, Ensemble, Integrator, ModelConfig, MoleculeConfig, RunConfig};

/// Maximum number of runs of a campaign: each has a record in the results.
const MOST_RUNS: u64 = 100_000;

/// Maximum number of steps of a run.
const MOST_STEPS: f64 = 1e12;

/// Names that a `[[run]]` can refer to.
struct Names<'a> {
    what: &'static str,
    names: Vec<&'a str>,
    numbers: BTreeMap<&'a str, usize>,
    /// Indices used by a table without names.
    default: Vec<usize>,
}

impl<'a> Names<'a> {
    fn new(
        what: &'static str,
        names: impl Iterator<Item = &'a str>,
        by_default: impl Fn(&str) -> bool,
    ) -> Self {
        let names: Vec<&str> = names.collect();
        let numbers = names.iter().copied().zip(0..).collect();
        let default = (0..names.len()).filter(|&n| by_default(names[n])).collect();
        Names { what, names, numbers, default }
    }

    fn count(&self, named: Option<&ListOfNames>) -> usize {
        named.map_or(self.default.len(), |names| names.get_ref().len())
    }
}

impl Reader<'_> {
    pub(super) fn runs(
        &self,
        tables: &[RunTable],
        models: &[ModelConfig],
        molecules: &[MoleculeConfig],
    ) -> Result<Vec<RunConfig>, ConfigError> {
        let named: BTreeSet<&str> = tables
            .iter()
            .filter_map(|t| t.models.as_ref())
            .flat_map(Spanned::get_ref)
            .map(|n| n.get_ref().as_str())
            .collect();
        let models =
            Names::new("model", models.iter().map(|m| m.name.as_str()), |name| !named.contains(name));
        let molecules = Names::new("molecule", molecules.iter().map(|m| m.name.as_str()), |_| true);
        let mut total = 0;
        let mut runs = Vec::new();
        for table in tables {
            total += self.count(table, &models, &molecules, total)?;
            runs.push(self.run(table, &models, &molecules)?);
        }
        // No list means all of them: a table that is left without models asks for nothing.
        runs.retain(|run| !run.models.is_empty());
        Ok(runs)
    }

    /// Returns the number of runs of `table`, which together with the `before` others must not exceed `MOST_RUNS`.
    fn count(
        &self,
        table: &RunTable,
        models: &Names<'_>,
        molecules: &Names<'_>,
        before: u64,
    ) -> Result<u64, ConfigError> {
        let models = models.count(table.models.as_ref());
        let molecules = molecules.count(table.molecules.as_ref());
        let (temperatures, replicas) = (table.temperatures_k.get_ref().len(), *table.replicas.get_ref());
        let factors = [models as u64, molecules as u64, temperatures as u64, u64::from(replicas)];
        // A table without models has a list of molecules, too.
        let runs = factors.iter().fold(1u64, |n, &factor| n.saturating_mul(factor.max(1)));
        if before.saturating_add(runs) <= MOST_RUNS {
            return Ok(runs);
        }
        let already = if before > 0 { format!(" after {before} of other tables") } else { String::new() };
        let message = format!(
            "{models} models x {molecules} molecules x {temperatures} temperatures x {replicas} replicas are {runs} runs\
             {already} (expected at most {MOST_RUNS} in a campaign): lower replicas, or split the campaign"
        );
        Err(self.error(Some(table.replicas.span()), message))
    }

    fn run(
        &self,
        table: &RunTable,
        models: &Names<'_>,
        molecules: &Names<'_>,
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
        let mut temperatures_k = Vec::new();
        for temperature in table.temperatures_k.get_ref() {
            let kelvins = self.positive("temperatures_K", temperature)?;
            if temperatures_k.contains(&kelvins) {
                let message = format!(
                    "temperatures_K has {kelvins} twice: remove one, or raise replicas for more runs"
                );
                return Err(self.error(Some(temperature.span()), message));
            }
            temperatures_k.push(kelvins);
        }
        if *table.replicas.get_ref() == 0 {
            return Err(self.error(Some(table.replicas.span()), "replicas is 0 (expected at least 1)"));
        }
        let stride = |key: &'static str, every: &Option<Spanned<f64>>| -> Result<Option<u64>, ConfigError> {
            let Some(every) = every else { return Ok(None) };
            Ok(Some((self.positive(key, every)? / timestep_fs).round().clamp(1.0, MOST_STEPS) as u64))
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
        Ok(RunConfig {
            models: self.indices(models, table.models.as_ref())?,
            molecules: self.indices(molecules, table.molecules.as_ref())?,
            timestep_fs,
            integrator: self.integrator(table, ensemble)?,
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

    fn indices(&self, known: &Names<'_>, names: Option<&ListOfNames>) -> Result<Vec<usize>, ConfigError> {
        let what = known.what;
        let Some(names) = names else { return Ok(known.default.clone()) };
        if names.get_ref().is_empty() {
            let message = format!("{what}s is empty: name at least one, or remove the key for all of them");
            return Err(self.error(Some(names.span()), message));
        }
        let mut indices = Vec::new();
        for name in names.get_ref() {
            let text = name.get_ref().as_str();
            let wrong = |message: String| Err(self.error(Some(name.span()), message));
            match known.numbers.get(text) {
                Some(index) if indices.contains(index) => {
                    return wrong(format!("{what}s has '{text}' twice: remove one"));
                }
                Some(&index) => indices.push(index),
                None => return wrong(unknown(what, text, &known.names)),
            }
        }
        Ok(indices)
    }

    fn ensemble(&self, table: &RunTable) -> Result<Ensemble, ConfigError> {
        let name = table.ensemble.get_ref().as_str();
        let thermostat = ThermostatKind::find(name);
        if thermostat.is_none() && name != Ensemble::Nve.name() {
            return Err(self.error(Some(table.ensemble.span()), unknown_ensemble(name)));
        }
        let mut ensemble = thermostat.map_or(Ensemble::Nve, Ensemble::Thermostat);
        for (key, value) in
            [("friction_per_ps", &table.friction_per_ps), ("relaxation_fs", &table.relaxation_fs)]
        {
            let Some(value) = value else { continue };
            match thermostat.filter(|kind| kind.parameter() == key) {
                Some(kind) => {
                    ensemble = Ensemble::Thermostat(kind.with_parameter(self.positive(key, value)?));
                }
                None => {
                    let message = format!("{key} means nothing to the ensemble '{name}': remove it");
                    return Err(self.error(Some(value.span()), message));
                }
            }
        }
        Ok(ensemble)
    }

    fn integrator(&self, table: &RunTable, ensemble: Ensemble) -> Result<Integrator, ConfigError> {
        let Some(integrator) = &table.integrator else { return Ok(Integrator::default()) };
        if ensemble != Ensemble::Nve {
            let message = format!(
                "integrator is for runs with ensemble = \"nve\": the thermostat \"{}\" is an integrator itself",
                ensemble.name()
            );
            return Err(self.error(Some(integrator.span()), message));
        }
        let kind = &integrator.get_ref().kind;
        let name = kind.get_ref().as_str();
        if let Some(own) = self.own.integrators.iter().find(|own| own.name == name) {
            return Ok(Integrator::Own(own.clone()));
        }
        IntegratorKind::find(name).map(Integrator::Kind).ok_or_else(|| {
            let mut known: Vec<&str> = IntegratorKind::ALL.iter().map(|kind| kind.name()).collect();
            known.extend(self.own.integrators.iter().map(|own| own.name.as_str()));
            self.error(Some(kind.span()), unknown("integrator", name, &known))
        })
    }

    fn ramp(&self, ensemble: Ensemble, to: &Spanned<f64>) -> Result<f64, ConfigError> {
        match ensemble {
            Ensemble::Thermostat(kind) if kind.follows_ramps() => self.positive("ramp_to_K", to),
            _ => {
                let able = ThermostatKind::ALL.iter().filter(|kind| kind.follows_ramps());
                let able: Vec<String> = able.map(|kind| format!("\"{}\"", kind.name())).collect();
                let message = format!(
                    "ramp_to_K needs a thermostat that can follow a temperature: {}, not \"{}\"",
                    able.join(" or "),
                    ensemble.name()
                );
                Err(self.error(Some(to.span()), message))
            }
        }
    }

    /// Rounds the number of steps up, so that a run lasts at least its requested duration. The margin absorbs rounding
    /// in the quotient.
    fn steps(&self, key: &str, duration_ps: &Spanned<f64>, timestep_fs: f64) -> Result<u64, ConfigError> {
        let ps = self.positive(key, duration_ps)?;
        let steps = (ps * FS_PER_PS / timestep_fs - 1e-6).ceil();
        if (1.0..=MOST_STEPS).contains(&steps) {
            return Ok(steps as u64);
        }
        let message =
            format!("{ps} ps in steps of {timestep_fs} fs are {steps} steps (expected 1 to {MOST_STEPS:e})");
        Err(self.error(Some(duration_ps.span()), message))
    }
}

/// Returns the error message for an unknown ensemble; for "nvt" it names the thermostats.
fn unknown_ensemble(name: &str) -> String {
    let thermostats = ThermostatKind::ALL.map(ThermostatKind::name);
    match name.to_lowercase().as_str() {
        "nvt" => format!(
            "ensemble '{name}' needs a thermostat: name it (ensemble = \"{}\")",
            thermostats.join("\", \"")
        ),
        "npt" | "nph" => format!(
            "ensemble '{name}' needs a barostat, of which there is none (expected \"nve\" or a thermostat: {})",
            thermostats.join(", ")
        ),
        _ => {
            let known: Vec<&str> = [Ensemble::Nve.name()].into_iter().chain(thermostats).collect();
            unknown("ensemble", name, &known)
        }
    }
}
