//! Checks that all descriptions of a network agree: `config.json`, the configuration in the file of the weights, and
//! the training record. A contradiction could mean that another network is validated than the one in use.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::excerpt;
use crate::{CheckpointError, configuration, painn};

/// A description of a network with the keys of `config.json`, and its location.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    pub(crate) place: String,
    pub(crate) config: Map<String, Value>,
}

impl Description {
    /// Checks that two descriptions agree where they overlap. The key `elements` of the narrower description may list
    /// fewer elements than that of the wider one.
    pub(crate) fn require_agreement(&self, wider: &Description) -> Result<(), CheckpointError> {
        let contradiction = |key: &str, one: &Value, other: &Value| CheckpointError::Contradiction {
            key: excerpt(key),
            one: excerpt(&one.to_string()),
            place: self.place.clone(),
            other: excerpt(&other.to_string()),
            other_place: wider.place.clone(),
        };
        for (key, one) in &self.config {
            let Some(other) = wider.config.get(key) else { continue };
            let found = match (key.as_str(), one, other) {
                ("elements", Value::Array(listed), Value::Array(known)) => {
                    listed.iter().any(|element| !known.contains(element)).then(|| (key.clone(), one, other))
                }
                _ => difference(key, one, other),
            };
            if let Some((key, one, other)) = found {
                return Err(contradiction(&key, one, other));
            }
        }
        Ok(())
    }
}

/// Returns the first difference between two values. Numbers are compared by value: 5 equals 5.0.
fn difference<'a>(key: &str, one: &'a Value, other: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    const ABSENT: &Value = &Value::Null;
    let here = |differ: bool| differ.then(|| (key.to_owned(), one, other));
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => here(a.as_f64() != b.as_f64()),
        (Value::Array(a), Value::Array(b)) => {
            here(a.len() != b.len() || a.iter().zip(b).any(|(a, b)| difference(key, a, b).is_some()))
        }
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|name| {
            let [one, other] = [a, b].map(|map| map.get(name).unwrap_or(ABSENT));
            difference(&format!("{key}.{name}"), one, other)
        }),
        _ => here(one != other),
    }
}

/// Description of the network in `training.json`, as written by `mdproof train`.
#[derive(Debug)]
pub(crate) struct TrainingRecord {
    /// SHA-256 of the trained weights.
    pub(crate) model_sha256: String,
    pub(crate) description: Description,
}

/// Keys that only records of `mdproof train` have. A record with any of them is complete, or was changed.
const OWN: [&str; 3] = ["model_sha256", "program_version", "reference_energies_ev"];

/// The fields of the record that describe the network.
#[derive(Deserialize)]
struct Fields {
    model_sha256: String,
    parameters: Value,
    reference_energies_ev: Map<String, Value>,
    config: TrainingConfig,
}

#[derive(Deserialize)]
struct TrainingConfig {
    student: Map<String, Value>,
}

impl TrainingRecord {
    /// Reads the record; `None` if the file is that of another program.
    pub(crate) fn parse(bytes: &[u8], place: &Path) -> Result<Option<Self>, CheckpointError> {
        let broken =
            |error: serde_json::Error| CheckpointError::Record { message: excerpt(&error.to_string()) };
        let value = configuration::parse_json(bytes).map_err(broken)?;
        if OWN.iter().all(|key| value.get(key).is_none()) {
            tracing::debug!("{} is no record of `mdproof train`", place.display());
            return Ok(None);
        }
        let Fields { model_sha256, parameters, reference_energies_ev, config: training } =
            serde_json::from_value(value).map_err(broken)?;
        let mut config = Map::from_iter([("model_type".to_owned(), Value::from(painn::MODEL_TYPE))]);
        for (key, value) in training.student {
            let key = if key == "cutoff_angstrom" { "cutoff".to_owned() } else { key };
            config.insert(key, value);
        }
        let elements = reference_energies_ev.keys().cloned().map(Value::from).collect();
        config.insert("elements".to_owned(), Value::Array(elements));
        config.insert("num_parameters".to_owned(), parameters);
        config.insert("reference_energies_ev".to_owned(), Value::Object(reference_energies_ev));
        let description = Description { place: place.display().to_string(), config };
        Ok(Some(TrainingRecord { model_sha256, description }))
    }

    /// Checks that it is the record of these weights.
    pub(crate) fn require_weights(&self, sha256: &str, place: &str) -> Result<(), CheckpointError> {
        if self.model_sha256.eq_ignore_ascii_case(sha256) {
            return Ok(());
        }
        Err(CheckpointError::OtherTraining {
            trained: excerpt(&self.model_sha256),
            place: self.description.place.clone(),
            found: sha256.to_owned(),
            weights: place.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn description(place: &str, config: &Value) -> Description {
        Description { place: place.to_owned(), config: config.as_object().unwrap().clone() }
    }

    #[test]
    fn require_agreement_compares_only_shared_keys() {
        let wide = description(
            "w",
            &json!({ "cutoff": 5, "elements": ["H", "C"], "e": { "H": -13.6, "C": [1, 2.5] }, "only_here": 1 }),
        );
        let narrow = description(
            "n",
            &json!({ "cutoff": 5.0, "elements": ["C"], "e": { "H": -13.6, "C": [1.0, 2.5] }, "source": "x" }),
        );
        narrow.require_agreement(&wide).unwrap();
        for (key, value, message) in [
            ("cutoff", json!(4.98), "cutoff is 4.98 in n, but 5 in w"),
            ("cutoff", json!("5"), "cutoff is \"5\" in n, but 5 in w"),
            ("elements", json!(["C", "F"]), "elements is [\"C\",\"F\"] in n, but [\"H\",\"C\"] in w"),
            ("e", json!({ "H": -13.5, "C": [1, 2.5] }), "e.H is -13.5 in n, but -13.6 in w"),
            ("e", json!({ "H": -13.6 }), "e.C is null in n, but [1,2.5] in w"),
            ("e", json!({ "H": -13.6, "C": [1, 2] }), "e.C is [1,2] in n, but [1,2.5] in w"),
        ] {
            let mut other = narrow.clone();
            other.config.insert(key.to_owned(), value);
            let error = other.require_agreement(&wide).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
