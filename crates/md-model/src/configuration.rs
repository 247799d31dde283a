//! `config.json` and other configurations of a network: strict JSON, in which no key may be repeated or misspelt.

use std::fmt;

use md_core::Element;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{excerpt, some};
use crate::student::list;
use crate::{Architecture, CheckpointError};

/// Maximum size of a configuration, bytes: a few hundred are usual, and JSON values are larger in memory than on disk.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// Keys of any configuration besides the hyper-parameters.
const GENERAL: [&str; 3] = ["model_type", "elements", "num_parameters"];

/// Keys that describe a network for people.
const DESCRIPTIVE: [&str; 12] = [
    "author",
    "authors",
    "comment",
    "date",
    "description",
    "licence",
    "license",
    "name",
    "note",
    "notes",
    "source",
    "url",
];

/// Similarity (Jaro-Winkler) from which on a key is taken for a misspelt one.
const SIMILAR: f64 = 0.93;

/// Parses a configuration of at most [`MOST_BYTES`].
pub(crate) fn parse(bytes: &[u8]) -> Result<Map<String, Value>, CheckpointError> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(CheckpointError::LargeFile { limit: MOST_BYTES });
    }
    match parse_json(bytes)? {
        Value::Object(config) => Ok(config),
        other => {
            Err(CheckpointError::Config(format!("it is {}, expected an object", excerpt(&other.to_string()))))
        }
    }
}

/// Parses JSON in which no object has a key twice: readers would disagree about its value.
pub(crate) fn parse_json(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::from(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::from(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::from(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::from(value))
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut array = Vec::new();
                while let Some(Strict(item)) = items.next_element()? {
                    array.push(item);
                }
                Ok(Value::Array(array))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut map = Map::new();
                while let Some(key) = entries.next_key::<String>()? {
                    if map.contains_key(&key) {
                        return Err(A::Error::custom(format!("the key '{}' is there twice", excerpt(&key))));
                    }
                    let Strict(value) = entries.next_value()?;
                    map.insert(key, value);
                }
                Ok(Value::Object(map))
            }
        }

        deserializer.deserialize_any(AnyValue).map(Strict)
    }
}

/// Checks that `config` has the hyper-parameters `required`.
pub(crate) fn require_keys(config: &Map<String, Value>, required: &[&str]) -> Result<(), CheckpointError> {
    let missing: Vec<String> =
        required.iter().filter(|key| !config.contains_key(**key)).map(|key| (*key).to_owned()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let found = config.keys().cloned().collect();
    Err(CheckpointError::MissingKeys { missing, found })
}

/// Returns the keys of `config` that neither define nor describe the network: an assumption is that they do not matter.
///
/// # Errors
/// One of them resembles a key of the configuration; or the architecture is that of `mdproof train`, whose
/// configurations have no other keys.
pub(crate) fn keys_not_read(
    architecture: &Architecture,
    config: &Map<String, Value>,
) -> Result<Vec<String>, CheckpointError> {
    let known: Vec<&str> = architecture.keys().into_iter().chain(GENERAL).collect();
    let mut others = Vec::new();
    for key in config.keys().filter(|key| !known.contains(&key.as_str())) {
        if DESCRIPTIVE.contains(&key.as_str()) {
            continue;
        }
        let likeness = |known: &str| strsim::jaro_winkler(&key.to_lowercase(), known);
        let absent = known.iter().copied().filter(|known| !config.contains_key(*known));
        let meant = absent
            .filter(|known| likeness(known) >= SIMILAR)
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        if meant.is_some() || architecture.is_own() {
            return Err(CheckpointError::UnknownKey {
                key: excerpt(key),
                meant: meant.map(str::to_owned),
                known: known.join(", "),
            });
        }
        others.push(key.clone());
    }
    Ok(others)
}

/// Returns the listed elements, or otherwise all that have an embedding, and whether they were listed.
pub(crate) fn elements(
    architecture: &Architecture,
    listed: Option<&Value>,
) -> Result<(Vec<Element>, bool), CheckpointError> {
    let known = architecture.elements();
    let Some(listed) = listed else { return Ok((known, false)) };
    let refuse = |found: &dyn ToString| CheckpointError::Hyperparameter {
        name: "elements",
        found: excerpt(&found.to_string()),
        expected: format!("a list of chemical symbols, such as [\"H\", \"C\"], among {}", list(&known)),
    };
    let mut elements: Vec<Element> = Vec::new();
    for symbol in listed.as_array().filter(|list| !list.is_empty()).ok_or_else(|| refuse(listed))? {
        let element: Element = symbol.as_str().and_then(|s| s.parse().ok()).ok_or_else(|| refuse(symbol))?;
        if known.binary_search(&element).is_err() {
            return Err(refuse(symbol));
        }
        elements.push(element);
    }
    elements.sort();
    elements.dedup();
    Ok((elements, true))
}

/// Describes what was assumed about `elements` that are not listed.
pub(crate) fn unlisted(elements: &[Element]) -> String {
    format!(
        "'elements' is in no configuration: all that have an embedding are accepted ({}), trained or not",
        list(elements)
    )
}

/// Describes keys that were not read.
pub(crate) fn not_read(keys: &[String]) -> String {
    format!("keys of the configuration that define nothing here are not read: {}", some(keys))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{DistillerHyperparameters, PainnHyperparameters};

    #[test]
    fn parse_refuses_repeated_keys() {
        let sound = r#"{"cutoff": 5.0, "a": {"b": [1, -2, 18446744073709551615, "x", null, true, {"cutoff": 1e300}]}}"#;
        let expected: Value = serde_json::from_str(sound).unwrap();
        assert_eq!(Value::Object(parse(sound.as_bytes()).unwrap()), expected);
        for (text, key, line) in [
            ("{\"cutoff\": 5.0, \"a\": 1,\n \"cutoff\": 6.0}", "cutoff", 2),
            ("{\"e\": [{\"H\": 1, \"\\u0048\": 1}]}", "H", 1),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("the key '{key}' is there twice at line {line}")), "{error}");
        }
        assert!(matches!(parse(&vec![b' '; (1 << 20) + 1]), Err(CheckpointError::LargeFile { .. })));
    }

    #[test]
    fn keys_not_read_refuses_misspelt_and_unknown_keys() {
        let distiller = Architecture::Distiller(DistillerHyperparameters {
            hidden_dim: 8,
            num_interactions: 1,
            num_rbf: 4,
            cutoff: 4.5,
            max_z: 8,
            learnable_rbf: false,
        });
        let painn = Architecture::Painn(PainnHyperparameters {
            hidden_dim: 8,
            num_interactions: 1,
            num_rbf: 4,
            cutoff: 4.5,
            reference_energies_ev: [("H".to_owned(), -13.6)].into(),
        });
        let keys = |architecture: &Architecture, config: Value| {
            keys_not_read(architecture, config.as_object().unwrap()).map_err(|error| match error {
                CheckpointError::UnknownKey { key, meant, .. } => (key, meant.unwrap_or_default()),
                other => panic!("{other}"),
            })
        };
        let refused = |key: &str, meant: &str| Err((key.to_owned(), meant.to_owned()));
        for architecture in [&distiller, &painn] {
            let sound =
                json!({ "model_type": "x", "cutoff": 5, "num_rbf": 4, "note": "y", "licence": "MIT" });
            assert_eq!(keys(architecture, sound), Ok(vec![]));
            for (key, meant) in [
                ("element", "elements"),
                ("Num_Params", "num_parameters"),
                ("Cutoff", "cutoff"),
                ("cut_off", "cutoff"),
            ] {
                assert_eq!(keys(architecture, json!({ key: 1 })), refused(key, meant));
            }
        }
        // Training programs of the distiller form save other keys, and `learnable_rbf` is none of PaiNN.
        let of_training =
            json!({ "activation": "silu", "lr": 1e-3, "num_interactions": 1, "num_iterations": 9 });
        assert_eq!(keys(&distiller, of_training).unwrap(), ["activation", "lr", "num_iterations"]);
        assert_eq!(keys(&distiller, json!({ "learnable_rbf": true })), Ok(vec![]));
        assert_eq!(
            keys(&distiller, json!({ "learnable_RBFs": true })),
            refused("learnable_RBFs", "learnable_rbf")
        );
        assert_eq!(keys(&painn, json!({ "activation": "silu" })), refused("activation", ""));
    }
}
