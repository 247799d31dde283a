use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use md_core::Element;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::agreement::{Description, TrainingRecord};
use crate::distiller::MODEL_TYPE as DISTILLER;
use crate::error::excerpt;
use crate::formats::{safetensors, torch};
use crate::student::list;
use crate::tensors::significant_bits;
use crate::{Architecture, CheckpointError, Weights};

/// A trained network read from disk: architecture, hyper-parameters and weights, all checked.
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
    /// - a folder with `model.safetensors` and `config.json`, or otherwise with `best_model.pt`;
    /// - a `.safetensors` file with `config.json` in the same folder;
    /// - a file of `torch.save` (PyTorch 1.6 or later) with a dictionary that contains `model_state_dict` and, in newer
    ///   files, `config` and `num_parameters`. A `config.json` in the same folder adds keys missing in `config`.
    ///   Nothing in the file is executed;
    /// - such a file (or its folder) with `#` and the key of one of several sets of weights in it, such as
    ///   `best.pt#ema_state_dict` or `best.pt#ema.shadow_params`, which is required if a file contains several sets.
    ///
    /// `model_type` in the configuration names the architecture (a PyTorch file without it is assumed to be of the
    /// distiller form, whose program does not write it). An optional list `elements` of chemical symbols restricts the
    /// elements of the network; without it, every element with an embedding is accepted, trained or not.
    ///
    /// All descriptions of the network must agree where they overlap: `config.json`, the configuration in the file of
    /// the weights, the weights themselves (an evenly divided radial basis ends at the cutoff) and the `training.json`
    /// of `mdproof train` in the same folder, which also contains the checksum of its weights.
    ///
    /// # Errors
    /// [`CheckpointError::In`] with the file and the problem in it: unreadable or unknown formats, an unknown
    /// architecture, no configuration, one that contradicts another description of the network, invalid
    /// hyper-parameters, missing, misshapen or unexpected tensors, non-finite weights, or a parameter count that
    /// differs from the stated one.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let Located { file, choice } = locate(path).map_err(|error| within(path, error))?;
        let bytes = fs::read(&file).map_err(|error| within(&file, error.into()))?;
        let is_torch = torch::is_zip(&bytes);
        if let (Some(key), false) = (choice, is_torch) {
            return Err(within(&file, CheckpointError::NoChoice { key: excerpt(key) }));
        }
        if let Some(error) = another_file(&bytes) {
            return Err(within(&file, error));
        }
        if !is_torch && file.extension().is_none_or(|e| e != "safetensors") {
            return Err(within(&file, CheckpointError::UnknownFormat));
        }
        let parts = if is_torch { Parts::of_torch(&bytes, choice) } else { Parts::of_safetensors(&bytes) };
        let mut parts = parts.map_err(|error| within(&file, error))?;
        parts.place = file.display().to_string();
        let config_file = file.with_file_name(CONFIG);
        if config_file.exists() || !is_torch {
            let config = read_limited(&config_file).and_then(|bytes| parse_config(&bytes));
            let config = config.map_err(|error| within(&config_file, error))?;
            parts.beside = Some(Description { place: config_file.display().to_string(), config });
        }
        let record_file = file.with_file_name(RECORD);
        if record_file.is_file() {
            let record = fs::read(&record_file).map_err(CheckpointError::from);
            let record = record.and_then(|bytes| TrainingRecord::parse(&bytes, &record_file));
            parts.record = record.map_err(|error| within(&record_file, error))?;
        }
        // The record refers to `model.safetensors`.
        if let Some(record) = parts.record.as_ref().filter(|_| !is_torch) {
            record.require_weights(&parts.sha256, &parts.place).map_err(|error| within(&file, error))?;
        }
        parts.assemble().map_err(|error| within(&file, error))
    }

    /// Returns the files that [`Checkpoint::load`] reads for `path`, each with its name: the weights (`best.pt#KEY` if
    /// `path` selects a set) and, if they exist, `config.json` and `training.json` in the same folder. Only `path`
    /// itself if it is not a checkpoint.
    pub fn files(path: impl AsRef<Path>) -> Vec<(String, PathBuf)> {
        let path = path.as_ref();
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(Located { file, choice }) = locate(path) else { return vec![(name(path), path.to_owned())] };
        let weights = choice.map_or_else(|| name(&file), |key| format!("{}#{key}", name(&file)));
        let beside = [CONFIG, RECORD].map(|name| (name.to_owned(), file.with_file_name(name)));
        std::iter::once((weights, file))
            .chain(beside.into_iter().filter(|(_, file)| file.is_file()))
            .collect()
    }

    /// Reads a checkpoint from the bytes of a file of `torch.save`. Nothing in it is executed.
    ///
    /// # Errors
    /// See [`Checkpoint::load`]; errors have no path.
    pub fn from_torch(bytes: &[u8]) -> Result<Self, CheckpointError> {
        Parts::of_torch(bytes, None)?.assemble()
    }

    /// Reads a checkpoint from the bytes of a `.safetensors` file and of its `config.json`.
    ///
    /// # Errors
    /// See [`Checkpoint::load`]; errors have no path.
    pub fn from_safetensors(weights: &[u8], config: &[u8]) -> Result<Self, CheckpointError> {
        let mut parts = Parts::of_safetensors(weights)?;
        parts.beside = Some(Description { place: CONFIG.to_owned(), config: parse_config(config)? });
        parts.assemble()
    }

    /// Creates a checkpoint with random weights (in f32) of the given sizes, as the start of training and for speed
    /// measurements without a trained model. Every element with an embedding is accepted.
    ///
    /// # Errors
    /// Invalid sizes.
    pub fn untrained(architecture: &Architecture, seed: u64) -> Result<Self, CheckpointError> {
        // Uses the configuration, so that the same checks apply as for a file.
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
        let elements = architecture.elements();
        let parameter_count = architecture.check(&weights)?;
        let sha256 = sha256(&safetensors::write(&weights, &config)?);
        Ok(Checkpoint { architecture, elements, weights, parameter_count, sha256 })
    }

    /// Returns the same network with other weights, which must have the same names and shapes.
    ///
    /// # Errors
    /// The same as for a file: missing, misshapen or unexpected tensors, or non-finite numbers.
    pub fn with_weights(&self, weights: Weights) -> Result<Self, CheckpointError> {
        let parameter_count = self.architecture.check(&weights)?;
        Ok(Checkpoint {
            sha256: sha256(&safetensors::write(&weights, &self.architecture.to_config()?)?),
            weights,
            parameter_count,
            ..self.clone()
        })
    }

    /// Writes `model.safetensors`, with the hyper-parameters in its header, and `config.json` into `folder`, for
    /// [`Checkpoint::load`].
    ///
    /// # Errors
    /// [`CheckpointError::In`] names the file that could not be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), CheckpointError> {
        let mut config = self.architecture.to_config()?;
        let weights = safetensors::write(&self.weights, &config)?;
        config.insert("elements".to_owned(), self.elements.iter().map(|e| e.symbol()).collect());
        config.insert("num_parameters".to_owned(), self.parameter_count.into());
        let write = |name: &str, bytes: &[u8]| {
            let file = folder.as_ref().join(name);
            fs::write(&file, bytes).map_err(|error| within(&file, error.into()))
        };
        write("model.safetensors", &weights)?;
        write(CONFIG, serde_json::to_string_pretty(&config)?.as_bytes())
    }

    /// Maximum number of significant bits of the weights: 24 for f32, 11 if all were rounded to f16.
    pub fn significant_bits(&self) -> u32 {
        significant_bits(&self.weights)
    }

    /// Architecture and hyper-parameters.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The elements that the network supports, by atomic number.
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// Cutoff distance, Å.
    pub fn cutoff_angstrom(&self) -> f64 {
        self.architecture.cutoff_angstrom()
    }

    /// Number of trainable weights (radial basis functions count only if they were trained).
    pub fn parameter_count(&self) -> usize {
        self.parameter_count
    }

    /// SHA-256 of the file that contains the weights, in hexadecimal; if it contains several sets, of the file and the
    /// selection, such as `#ema_state_dict`.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Every tensor of the file.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}

/// The parts of a checkpoint before they are checked against each other.
struct Parts {
    weights: Weights,
    /// Location of the weights.
    place: String,
    /// The configuration in the file of the weights.
    inside: Option<Map<String, Value>>,
    /// `config.json`.
    beside: Option<Description>,
    /// `training.json`.
    record: Option<TrainingRecord>,
    sha256: String,
    is_torch: bool,
}

impl Parts {
    fn of_torch(bytes: &[u8], choice: Option<&str>) -> Result<Self, CheckpointError> {
        let content = torch::read(bytes, choice)?;
        let sha256 = match content.chosen {
            Some(key) => sha256(&[bytes, b"#", key.as_bytes()].concat()),
            None => sha256(bytes),
        };
        Ok(Parts {
            weights: content.weights,
            place: "the file of the weights".to_owned(),
            inside: content.config,
            beside: None,
            record: None,
            sha256,
            is_torch: true,
        })
    }

    fn of_safetensors(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (weights, inside) = safetensors::read(bytes)?;
        Ok(Parts {
            weights,
            place: "the file of the weights".to_owned(),
            inside: inside.map(|text| parse_config(text.as_bytes())).transpose()?,
            beside: None,
            record: None,
            sha256: sha256(bytes),
            is_torch: false,
        })
    }

    fn assemble(self) -> Result<Checkpoint, CheckpointError> {
        let Parts { weights, place, inside, beside, record, sha256, is_torch } = self;
        if inside.is_none() && beside.is_none() {
            return Err(Architecture::no_configuration(&weights));
        }
        let inside = inside.map(|config| Description { place: place.clone(), config });
        let mut config = Map::new();
        if is_torch {
            config.insert("model_type".to_owned(), DISTILLER.into());
        }
        // A list `elements` in the same folder restricts that in the file of the weights.
        config.extend([&inside, &beside].into_iter().flatten().flat_map(|d| d.config.clone()));
        let architecture = Architecture::from_config(&config)?;

        let descriptions: Vec<&Description> = [&beside, &inside].into_iter().flatten().collect();
        if let [beside, inside] = descriptions[..] {
            beside.require_agreement(inside)?;
        }
        if let Some(record) = &record {
            descriptions.iter().try_for_each(|d| d.require_agreement(&record.description))?;
        }
        let elements = elements(&architecture, config.get("elements"))?;
        let parameter_count = architecture.check(&weights)?;
        if let Some(cutoff) = architecture.other_cutoff_of(&weights) {
            let said = descriptions.iter().find(|d| d.config.contains_key("cutoff"));
            return Err(CheckpointError::Contradiction {
                key: "cutoff".to_owned(),
                one: architecture.cutoff_angstrom().to_string(),
                place: said.map_or_else(|| place.clone(), |d| d.place.clone()),
                other: cutoff.to_string(),
                other_place: format!("{place} (where the even division of rbf.centers ends)"),
            });
        }
        if let Some(stated) = config.get("num_parameters") {
            let expected = serde_json::from_value(stated.clone())?;
            if expected != parameter_count as u64 {
                return Err(CheckpointError::ParameterCount { expected, found: parameter_count });
            }
        }
        Ok(Checkpoint { architecture, elements, weights, parameter_count, sha256 })
    }
}

/// Hyper-parameters in the same folder as the weights.
const CONFIG: &str = "config.json";

/// Provenance of the weights.
const RECORD: &str = "training.json";

/// Maximum number of weights of an untrained network, whose sizes a few lines of text may specify.
const MOST_UNTRAINED: usize = 100_000_000;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Recognises files that are often mistaken for weights, by their beginning.
fn another_file(bytes: &[u8]) -> Option<CheckpointError> {
    const RESAVE: &str = "load it in Python and save it again with torch.save of PyTorch 1.6 or later";
    let start = &bytes[..bytes.len().min(64)];
    let begins = |text: &[u8]| start.trim_ascii_start().to_ascii_lowercase().starts_with(text);
    let (what, remedy) = if begins(b"version https://git-lfs") {
        ("a Git LFS pointer, not the file itself", "run 'git lfs pull' in the repository that it comes from")
    } else if begins(b"<!doctype html") || begins(b"<html") {
        ("a web page, not the file itself", "download the file by its link for raw files")
    } else if start.windows(LEGACY.len()).any(|window| window == LEGACY) {
        ("a file of torch.save in the format before PyTorch 1.6", RESAVE)
    } else if matches!(start, [0x80, 1..=5, ..])
        || [&b"(dp"[..], b"(lp", b"ccollections\n"].iter().any(|p| start.starts_with(p))
    {
        ("a bare pickle", RESAVE)
    } else {
        return None;
    };
    Some(CheckpointError::OtherFile { what, remedy })
}

/// The number at the beginning of files of torch.save before it used zip files.
const LEGACY: &[u8] = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19";

/// The file with the weights, and the key of a set in it.
struct Located<'a> {
    file: PathBuf,
    choice: Option<&'a str>,
}

/// Splits `FILE#KEY` unless a file has that name.
fn locate(path: &Path) -> Result<Located<'_>, CheckpointError> {
    let chosen = path.to_str().and_then(|text| text.rsplit_once('#')).filter(|_| !path.exists());
    match chosen {
        Some((file, key)) => Ok(Located { file: weight_file(Path::new(file))?, choice: Some(key) }),
        None => Ok(Located { file: weight_file(path)?, choice: None }),
    }
}

/// Returns the file with the weights: `path` itself, or the one in the folder `path`.
fn weight_file(path: &Path) -> Result<PathBuf, CheckpointError> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        // A device or a pipe may be endless.
        return if metadata.is_file() { Ok(path.to_owned()) } else { Err(CheckpointError::NotAFile) };
    }
    ["model.safetensors", "best_model.pt"]
        .into_iter()
        .map(|name| path.join(name))
        .find(|file| file.is_file())
        .ok_or(CheckpointError::NothingToLoad)
}

/// Reads the file, or only enough of it to show that it is too large.
fn read_limited(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST_CONFIG_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Maximum size of a configuration, bytes: a few hundred are usual, and JSON values are larger in memory than on disk.
const MOST_CONFIG_BYTES: usize = 1 << 20;

fn parse_config(bytes: &[u8]) -> Result<Map<String, Value>, CheckpointError> {
    if bytes.len() > MOST_CONFIG_BYTES {
        return Err(CheckpointError::LargeConfig { limit: MOST_CONFIG_BYTES });
    }
    Ok(serde_json::from_slice(bytes)?)
}

/// Returns the listed elements, or otherwise all that have an embedding.
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
