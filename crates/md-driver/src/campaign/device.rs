//! Recovery from models that panic and devices that fail.

use anyhow::Result;
use md_core::{State, System};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::runner::Runner;
use super::store::{Panicked, isolated};
use crate::config::{Device, ModelConfig};
use crate::error::Halt;
use crate::in_full;
use crate::models::{self, LoadedModel};

impl Runner<'_> {
    /// Calls [`Store::get_or_compute`](super::store::Store::get_or_compute) for this model. A model that panicked is
    /// loaded again, and if a device stops responding, the measurement is repeated on the CPU.
    pub(super) fn attempt<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        mut measure: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Result<T>, Halt> {
        let store = self.store;
        loop {
            let error = match store.get_or_compute(name, || measure(self))? {
                Ok(measured) => return Ok(Ok(measured)),
                Err(error) => error,
            };
            if error.is::<Panicked>() {
                self.renew();
            }
            if self.answers() || !self.fall_back(&in_full(error.as_ref()))? {
                return Ok(Err(error));
            }
        }
    }

    /// Whether the device responds.
    pub(super) fn answers(&mut self) -> bool {
        let Some(&m) = self.loaded_for.first() else { return true };
        let system = &self.molecules[m].system;
        isolated(|| Ok(State::at_rest(std::slice::from_ref(system), self.model.potential.as_mut())?)).is_ok()
    }

    /// Loads the model again: a panic may leave it in any state.
    pub(super) fn renew(&mut self) {
        let mut config = self.config.models[self.index].clone();
        if self.model.record.device.as_deref() == Some("cpu") {
            config.device = Device::Cpu;
        }
        if let Some(model) = self.load(&config) {
            let record = std::mem::replace(&mut self.model.record, models::unloaded(&config));
            *self.model = LoadedModel { record, ..model };
        }
    }

    fn load(&self, config: &ModelConfig) -> Option<LoadedModel> {
        let named: Vec<(&str, &System)> = self
            .loaded_for
            .iter()
            .map(|&m| (self.molecules[m].record.name.as_str(), &self.molecules[m].system))
            .collect();
        match isolated(|| Ok(models::load(config, &named)?)) {
            Ok(mut model) => {
                model.iter_mut().for_each(|model| model.stop_at(self.store.stop()));
                model
            }
            Err(error) => {
                tracing::error!(
                    "model '{}' cannot be loaded again: {}",
                    config.name,
                    in_full(error.as_ref())
                );
                None
            }
        }
    }

    /// Moves a model from a failed GPU to the CPU and records that in the results; returns whether another device was
    /// available.
    pub(super) fn fall_back(&mut self, reason: &str) -> Result<bool, Halt> {
        if self.model.record.device.as_deref().is_none_or(|device| device == "cpu") {
            return Ok(false);
        }
        let config = ModelConfig { device: Device::Cpu, ..self.config.models[self.index].clone() };
        let Some(model) = self.load(&config) else { return Ok(false) };
        let failed = self.model.record.device.clone().unwrap_or_default();
        let note = format!("{failed} failed ({reason}): continued on the CPU");
        tracing::warn!("model '{}': {note}", config.name);
        self.store.put(&[(&self.part("device", "cpu"), &note)])?;
        self.use_cpu(model, note);
        Ok(true)
    }

    fn use_cpu(&mut self, model: LoadedModel, note: String) {
        let requested = self.model.record.device_requested.take();
        *self.model = model;
        self.model.record.device_requested = requested;
        self.model.record.device_note = Some(note);
    }

    /// Restores the move to the CPU in a resumed campaign.
    pub(super) fn fall_back_again(&mut self) {
        let Some(note) = self.store.get::<String>(&self.part("device", "cpu")) else { return };
        let config = ModelConfig { device: Device::Cpu, ..self.config.models[self.index].clone() };
        if let Some(model) = self.load(&config) {
            self.use_cpu(model, note);
        }
    }
}
