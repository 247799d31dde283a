use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use md_core::Element;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::distiller::MODEL_TYPE as DISTILLER;
use crate::error::excerpt;
use crate::formats::{safetensors, torch};
use crate::student::list;
use crate::tensors::significant_bits;
use crate::{Architecture, CheckpointError, Weights};

/// A trained network as read from disk: architecture, hyper-parameters and weights, all checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    architecture: Architecture,
    elements: Vec<Element>,
    weights: Weights,
    parameter_count: usize,
    sha256: String,
}

impl Checkpoint {
    /// Reads a checkpoint. `path` is one of
    ///
    /// - a folder with `model.safetensors` and `config.json`, or else with `best_model.pt`;
    /// - a `.safetensors` file beside its `config.json`;
    /// - a file of `torch.save` (PyTorch 1.6 or later) that holds a dictionary with `model_state_dict` and, in
    ///   newer files, `config` and `num_parameters`. Without `config`, sizes are taken from the tensors and the
    ///   cutoff is 5 Å; a warning is logged. Nothing in the file is executed.
    ///
    /// `model_type` in the configuration names the architecture (a PyTorch file without one is taken for the
    /// distiller form, whose program does not write it). An optional list `elements` of chemical symbols
    /// restricts what the network may be used for; without it, every element with an embedding is accepted,
    /// trained or not.
    ///
    /// # Errors
    /// [`CheckpointError::In`] with the file and what is wrong in it: unreadable or unknown formats, an unknown
    /// architecture, senseless hyper-parameters, missing, misshapen or superfluous tensors, weights that are not
    /// finite, a parameter count other than stated.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let file = weight_file(path).map_err(|error| within(path, error))?;
        let bytes = fs::read(&file).map_err(|error| within(&file, error.into()))?;
        if torch::is_zip(&bytes) {
            return Self::from_torch(&bytes).map_err(|error| within(&file, error));
        }
        if file.extension().is_none_or(|e| e != "safetensors") {
            return Err(within(&file, CheckpointError::UnknownFormat));
        }
        let weights = safetensors::read(&bytes).map_err(|error| within(&file, error))?;
        let config_file = file.with_file_name("config.json");
        let config = read_config(&config_file).map_err(|error| within(&config_file, error))?;
        Self::assemble(weights, Some(&config), sha256(&bytes)).map_err(|error| within(&file, error))
    }

    /// A checkpoint from the bytes of a file of `torch.save`. Nothing in it is executed.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], without a path.
    pub fn from_torch(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let content = torch::read(bytes)?;
        let named = content.config.map(|mut config| {
            config.entry("model_type").or_insert_with(|| DISTILLER.into());
            config
        });
        Self::assemble(content.weights, named.as_ref(), sha256(bytes))
    }

    /// A checkpoint from the bytes of a `.safetensors` file and of its `config.json`.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], without a path.
    pub fn from_safetensors(weights: &[u8], config: &[u8]) -> Result<Self, CheckpointError> {
        Self::assemble(safetensors::read(weights)?, Some(&parse_config(config)?), sha256(weights))
    }

    /// A checkpoint with random weights (in f32) of the given sizes: where training starts, and what speed can be
    /// measured on without a trained model. Every element with an embedding is accepted.
    ///
    /// # Errors
    /// Sizes without sense.
    pub fn untrained(architecture: &Architecture, seed: u64) -> Result<Self, CheckpointError> {
        // Through its own configuration, so that the same checks apply as to a file.
        let config = architecture.to_config()?;
        let architecture = Architecture::from_config(&config)?;
        let numbers = architecture.numbers();
        if numbers > MOST_UNTRAINED {
            return Err(CheckpointError::hyperparameter(
                "the number of weights",
                &numbers,
                &format!("at most {MOST_UNTRAINED}: lower hidden_dim, num_interactions or num_rbf"),
            ));
        }
        let mut weights = architecture.untrained(&mut ChaCha12Rng::seed_from_u64(seed));
        for x in weights.values_mut().flat_map(|t| &mut t.values) {
            *x = f64::from(*x as f32);
        }
        let sha256 = sha256(&safetensors::write(&weights)?);
        Self::assemble(weights, Some(&config), sha256)
    }

    /// The same network with other weights, which must have the same names and shapes.
    ///
    /// # Errors
    /// As for a file: missing, misshapen or superfluous tensors, numbers that are not finite.
    pub fn with_weights(&self, weights: Weights) -> Result<Self, CheckpointError> {
        let parameter_count = self.architecture.check(&weights)?;
        Ok(Checkpoint {
            sha256: sha256(&safetensors::write(&weights)?),
            weights,
            parameter_count,
            ..self.clone()
        })
    }

    /// Writes `model.safetensors` and `config.json` into `folder`, which [`Checkpoint::load`] reads back.
    ///
    /// # Errors
    /// [`CheckpointError::In`] names the file that could not be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), CheckpointError> {
        let mut config = self.architecture.to_config()?;
        config.insert("elements".to_owned(), self.elements.iter().map(|e| e.symbol()).collect());
        config.insert("num_parameters".to_owned(), self.parameter_count.into());
        let write = |name: &str, bytes: &[u8]| {
            let file = folder.as_ref().join(name);
            fs::write(&file, bytes).map_err(|error| within(&file, error.into()))
        };
        write("model.safetensors", &safetensors::write(&self.weights)?)?;
        write("config.json", serde_json::to_string_pretty(&config)?.as_bytes())
    }

    /// The most significant bits that any weight has: 24 for f32, 11 where all were rounded to f16.
    pub fn significant_bits(&self) -> u32 {
        significant_bits(&self.weights)
    }

    fn assemble(
        weights: Weights,
        config: Option<&Map<String, Value>>,
        sha256: String,
    ) -> Result<Self, CheckpointError> {
        let architecture = match config {
            Some(config) => Architecture::from_config(config)?,
            None => Architecture::from_weights(&weights)?,
        };
        let elements = elements(&architecture, config.and_then(|c| c.get("elements")))?;
        let parameter_count = architecture.check(&weights)?;
        if let Some(stated) = config.and_then(|c| c.get("num_parameters")) {
            let expected = serde_json::from_value(stated.clone())?;
            if expected != parameter_count as u64 {
                return Err(CheckpointError::ParameterCount { expected, found: parameter_count });
            }
        }
        Ok(Checkpoint { architecture, elements, weights, parameter_count, sha256 })
    }

    /// Architecture and hyper-parameters.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The elements that the network may be used for, by atomic number.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Distance up to which atoms interact, Å.
    pub fn cutoff_angstrom(&self) -> f64 {
        self.architecture.cutoff_angstrom()
    }

    /// Number of trainable weights (radial basis functions count only if they were trained).
    pub fn parameter_count(&self) -> usize {
        self.parameter_count
    }

    /// SHA-256 of the file that holds the weights, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Every tensor of the file.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// Most weights of a network that nobody has trained, and whose sizes a few lines of text may ask for.
const MOST_UNTRAINED: usize = 100_000_000;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The file with the weights: `path` itself, or the one in the folder `path`.
fn weight_file(path: &Path) -> Result<PathBuf, CheckpointError> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        // A device or a pipe may never end.
        return if metadata.is_file() { Ok(path.to_owned()) } else { Err(CheckpointError::NotAFile) };
    }
    ["model.safetensors", "best_model.pt"]
        .into_iter()
        .map(|name| path.join(name))
        .find(|file| file.is_file())
        .ok_or(CheckpointError::NothingToLoad)
}

fn read_config(path: &Path) -> Result<Map<String, Value>, CheckpointError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_CONFIG_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    parse_config(&bytes)
}

/// Most bytes of a configuration: a few hundred are usual, and values of JSON are larger in memory than on disk.
const MOST_CONFIG_BYTES: usize = 1 << 20;

fn parse_config(bytes: &[u8]) -> Result<Map<String, Value>, CheckpointError> {
    if bytes.len() > MOST_CONFIG_BYTES {
        return Err(CheckpointError::LargeConfig { limit: MOST_CONFIG_BYTES });
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// The elements listed, or else all that have an embedding.
fn elements(architecture: &Architecture, listed: Option<&Value>) -> Result<Vec<Element>, CheckpointError> {
    let known = architecture.elements();
    let Some(listed) = listed else { return Ok(known) };
    let refuse = |found: &dyn ToString| CheckpointError::Hyperparameter {
        name: "elements",
        found: excerpt(&found.to_string()),
        expected: format!("a list of chemical symbols, such as [\"H\", \"C\"], among {}", list(&known)),
    };
    let mut elements = Vec::new();
    for symbol in listed.as_array().filter(|list| !list.is_empty()).ok_or_else(|| refuse(listed))? {
        let element: Element = symbol.as_str().and_then(|s| s.parse().ok()).ok_or_else(|| refuse(symbol))?;
        if known.binary_search(&element).is_err() {
            return Err(refuse(symbol));
        }
        elements.push(element);
    }
    elements.sort();
    elements.dedup();
    Ok(elements)
}

fn within(path: &Path, source: CheckpointError) -> CheckpointError {
    CheckpointError::In { path: path.to_owned(), source: Box::new(source) }
}
