use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use md_core::Element;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde_json::Map;
use sha2::{Digest, Sha256};

use crate::agreement::{Description, TrainingRecord};
use crate::distiller::MODEL_TYPE as DISTILLER;
use crate::error::{excerpt, some};
use crate::formats::{Content, TorchError, safetensors, torch};
use crate::student::list;
use crate::tensors::significant_bits;
use crate::{Architecture, CheckpointError, Weights, configuration};

/// A trained network read from disk: architecture, hyper-parameters and weights, all checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    architecture: Architecture,
    elements: Vec<Element>,
    weights: Weights,
    parameter_count: usize,
    sha256: String,
    assumptions: Vec<String>,
}

impl Checkpoint {
    /// Reads a checkpoint. `path` is one of
    ///
    /// - a folder with `model.safetensors` and `config.json`, or otherwise with `best_model.pt`; if it has both, they must
    ///   contain the same weights;
    /// - a `.safetensors` file with `config.json` in the same folder;
    /// - a file of `torch.save` (PyTorch 1.6 or later) with a dictionary that contains `model_state_dict` and, in newer
    ///   files, `config` (or `hyper_parameters`, as of Lightning) and `num_parameters`. A `config.json` in the same folder
    ///   adds keys missing in `config`. Nothing in the file is executed;
    /// - one of these files (or its folder) with `#` and the key of one of several sets of weights in it, such as
    ///   `best.pt#ema_state_dict`, `best.pt#ema.shadow_params` or, if the names of its tensors begin with that,
    ///   `best.pt#state_dict.ema`. This is required if a file contains several sets.
    ///
    /// `model_type` in the configuration names the architecture (a PyTorch file without it is assumed to be of the
    /// distiller form, whose program does not write it). The list `elements` of chemical symbols restricts the elements of
    /// the network. The form of `mdproof train` requires it; others accept every element with an embedding without it.
    ///
    /// What decides a number is never assumed: cutoff, sizes, reference energies, and which weights. Other assumptions are
    /// in [`Checkpoint::assumptions`].
    ///
    /// All descriptions of the network must agree where they overlap: `config.json`, the configuration in the file of
    /// the weights, the weights themselves (an evenly divided radial basis ends at the cutoff) and the `training.json`
    /// of `mdproof train` in the same folder, which also contains the checksum of its weights.
    ///
    /// # Errors
    /// [`CheckpointError::In`] with the file and the problem in it: unreadable or unknown formats, an unknown
    /// architecture, no configuration, unknown, repeated or missing keys in it, a configuration that contradicts another
    /// description of the network, several networks of which none was selected, invalid hyper-parameters, missing, misshapen or unexpected tensors, non-finite weights, or a parameter count that
    /// differs from the stated one.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let Located { file, choice } = locate(path).map_err(|error| within(path, error))?;
        let mut parts = Parts::read(&file, choice).map_err(|error| within(&file, error))?;
        if choice.is_none() && path.is_dir() {
            parts.require_same_in(path).map_err(|error| within(path, error))?;
        }
        let config_file = file.with_file_name(CONFIG);
        if config_file.exists() || !parts.is_torch {
            let config = read_limited(&config_file, configuration::MOST_BYTES)
                .and_then(|bytes| configuration::parse(&bytes));
            let config = config.map_err(|error| within(&config_file, error))?;
            parts.beside = Some(Description { place: config_file.display().to_string(), config });
        }
        let record_file = file.with_file_name(RECORD);
        if record_file.is_file() {
            let record = read_limited(&record_file, MOST_RECORD_BYTES);
            let record = record.and_then(|bytes| TrainingRecord::parse(&bytes, &record_file));
            parts.record = record.map_err(|error| within(&record_file, error))?;
        }
        // The record refers to `model.safetensors`.
        if let Some(record) = parts.record.as_ref().filter(|_| !parts.is_torch) {
            record.require_weights(&parts.file_sha256, &parts.place).map_err(|error| within(&file, error))?;
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
        Parts::of(torch::read(bytes, None)?, bytes, true).assemble()
    }

    /// Reads a checkpoint from the bytes of a `.safetensors` file and of its `config.json`.
    ///
    /// # Errors
    /// See [`Checkpoint::load`]; errors have no path.
    pub fn from_safetensors(weights: &[u8], config: &[u8]) -> Result<Self, CheckpointError> {
        let mut parts = Parts::of(safetensors::read(weights, None)?, weights, false);
        parts.beside = Some(Description { place: CONFIG.to_owned(), config: configuration::parse(config)? });
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
        let architecture = Architecture::from_config(&config, None)?;
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
        Ok(Checkpoint { architecture, elements, weights, parameter_count, sha256, assumptions: Vec::new() })
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

    /// What the files do not state and was assumed, and what of them was not used, in sentences without a full stop.
    pub fn assumptions(&self) -> &[String] {
        &self.assumptions
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
    content: Content,
    /// Location of the weights.
    place: String,
    /// `config.json`.
    beside: Option<Description>,
    /// `training.json`.
    record: Option<TrainingRecord>,
    /// SHA-256 of the file of the weights.
    file_sha256: String,
    /// The same, with the selection if there was one.
    sha256: String,
    is_torch: bool,
}

impl Parts {
    fn of(content: Content, bytes: &[u8], is_torch: bool) -> Self {
        let file_sha256 = sha256(bytes);
        let sha256 = if content.is_chosen {
            sha256(&[bytes, b"#", content.key.as_bytes()].concat())
        } else {
            file_sha256.clone()
        };
        let place = "the file of the weights".to_owned();
        Parts { content, place, beside: None, record: None, file_sha256, sha256, is_torch }
    }

    /// Reads a file of weights.
    fn read(file: &Path, choice: Option<&str>) -> Result<Self, CheckpointError> {
        let bytes = read_limited(file, MOST_BYTES)?;
        if let Some(error) = another_file(&bytes) {
            return Err(error);
        }
        let is_torch = torch::is_zip(&bytes);
        if !is_torch && file.extension().is_none_or(|e| e != "safetensors") {
            return Err(CheckpointError::UnknownFormat);
        }
        let content = if is_torch { torch::read(&bytes, choice) } else { safetensors::read(&bytes, choice) };
        Ok(Parts { place: file.display().to_string(), ..Parts::of(content?, &bytes, is_torch) })
    }

    /// Checks that the other file of weights in `folder`, if there is one, has the same weights.
    fn require_same_in(&self, folder: &Path) -> Result<(), CheckpointError> {
        let second = folder.join(WEIGHTS[1]);
        if self.place == second.display().to_string() || !second.is_file() {
            return Ok(());
        }
        let difference = match Parts::read(&second, None) {
            Ok(other) if other.content.weights == self.content.weights => return Ok(()),
            Ok(_) => "their weights differ".to_owned(),
            Err(error) => format!("the second cannot be compared ({error})"),
        };
        Err(CheckpointError::TwoFiles { files: WEIGHTS, difference })
    }

    fn assemble(self) -> Result<Checkpoint, CheckpointError> {
        let Parts { content, place, beside, record, sha256, is_torch, .. } = self;
        let weights = content.weights;
        if content.config.is_none() && beside.is_none() {
            return Err(Architecture::no_configuration(&weights));
        }
        let inside = content.config.map(|config| Description { place: place.clone(), config });
        let mut config = Map::new();
        let mut assumptions = Vec::new();
        // A list `elements` in the same folder restricts that in the file of the weights.
        config.extend([&inside, &beside].into_iter().flatten().flat_map(|d| d.config.clone()));
        if is_torch && !config.contains_key("model_type") {
            assumptions.push(format!("'model_type' is in no configuration: {DISTILLER} is assumed"));
        }
        let architecture = Architecture::from_config(&config, is_torch.then_some(DISTILLER))?;
        if let Some(name) = content.opaque.iter().find(|name| {
            architecture.keys().contains(&name.as_str())
                || ["elements", "model_type"].contains(&name.as_str())
        }) {
            return Err(TorchError::Config { name: excerpt(name) }.into());
        }
        let mut not_read = configuration::keys_not_read(&architecture, &config)?;
        not_read.extend(content.opaque);

        let descriptions: Vec<&Description> = [&beside, &inside].into_iter().flatten().collect();
        if let [beside, inside] = descriptions[..] {
            beside.require_agreement(inside)?;
        }
        if let Some(record) = &record {
            descriptions.iter().try_for_each(|d| d.require_agreement(&record.description))?;
        }
        let (elements, are_listed) = configuration::elements(&architecture, config.get("elements"))?;
        if !are_listed && architecture.is_own() {
            return Err(CheckpointError::NoElements { known: list(&elements) });
        }
        let key = &content.key;
        let parameter_count =
            architecture.check(&weights).map_err(|error| other_name(error, &weights, key))?;
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
        let (trained, fixed): (Vec<String>, Vec<String>) =
            content.borrowed.into_iter().partition(|name| architecture.is_trainable(name));
        if !trained.is_empty() {
            return Err(CheckpointError::IncompleteSet { key: excerpt(key), names: trained });
        }

        let more = [
            content.is_chosen.then(|| format!("of several sets of weights in the file, '{}' was chosen", excerpt(key))),
            content.is_unnamed.then(|| {
                "its tensors have no names: each was assigned by order and shape, in the only way possible".to_owned()
            }),
            (!fixed.is_empty()).then(|| {
                format!("it has only trained tensors: {} are those of the usual set", some(&fixed))
            }),
            (!content.prefix.is_empty()).then(|| {
                format!("'{}', with which every tensor's name begins, was dropped", excerpt(&content.prefix))
            }),
            (architecture.is_own() && record.is_none() && inside.is_none()).then(|| {
                let cutoff = architecture.cutoff_angstrom();
                format!("{CONFIG} alone states its cutoff, {cutoff} Å: no {RECORD} says that it was trained with it")
            }),
            (!are_listed).then(|| configuration::unlisted(&elements)),
            (!not_read.is_empty()).then(|| configuration::not_read(&not_read)),
        ];
        assumptions.extend(more.into_iter().flatten());
        Ok(Checkpoint { architecture, elements, weights, parameter_count, sha256, assumptions })
    }
}

/// Replaces the error for a missing tensor if there is one whose name has more parts.
fn other_name(error: CheckpointError, weights: &Weights, key: &str) -> CheckpointError {
    let CheckpointError::MissingTensor { name, .. } = &error else { return error };
    let has_parts = |found: &&String| {
        let mut parts = found.split('.');
        name.split('.').all(|part| parts.any(|found| found == part))
    };
    let Some(found) = weights.keys().find(has_parts) else { return error };
    let (name, shown) = (name.clone(), excerpt(found));
    let prefix = found.strip_suffix(&name).and_then(|start| start.strip_suffix('.'));
    let Some(prefix) = prefix else { return CheckpointError::OtherName { name, found: shown } };
    match weights.keys().find(|other| !other.starts_with(&format!("{prefix}."))) {
        Some(other) => CheckpointError::PartOfFile {
            name,
            found: shown,
            other: excerpt(other),
            key: excerpt(&if key.is_empty() { prefix.to_owned() } else { format!("{key}.{prefix}") }),
        },
        None => CheckpointError::OtherName { name, found: shown },
    }
}

/// Hyper-parameters in the same folder as the weights.
const CONFIG: &str = "config.json";

/// Provenance of the weights.
const RECORD: &str = "training.json";

/// Files of weights in a folder, in order of preference.
const WEIGHTS: [&str; 2] = ["model.safetensors", "best_model.pt"];

/// Maximum size of a file of weights and of a record, bytes. The largest student has some megabytes.
const MOST_BYTES: u64 = 4 << 30;
const MOST_RECORD_BYTES: u64 = 64 << 20;

/// Maximum number of weights of an untrained network, whose sizes a few lines of text may specify.
const MOST_UNTRAINED: usize = 100_000_000;

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Recognises files that are often mistaken for weights, by their beginning.
fn another_file(bytes: &[u8]) -> Option<CheckpointError> {
    const RESAVE: &str = "load it in Python and save it again with torch.save of PyTorch 1.6 or later";
    let start = &bytes[..bytes.len().min(64)];
    // The length of a header of JSON comes first in a safetensors file, and any other text cannot be such a length.
    if start.get(4..9) == Some(b"\0\0\0\0{") {
        return None;
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start().to_ascii_lowercase();
    let begins = |beginnings: &[&[u8]]| beginnings.iter().any(|beginning| text.starts_with(beginning));
    let (what, remedy) = if begins(&[b"version https://git-lfs"]) {
        ("a Git LFS pointer, not the file itself", "run 'git lfs pull' in the repository that it comes from")
    } else if begins(&[b"/annex/objects/"]) {
        (
            "a git-annex pointer, not the file itself",
            "run 'git annex get' in the repository that it comes from",
        )
    } else if begins(&[b"<!", b"<html", b"<head", b"<?xml"]) {
        ("a web page, not the file itself", "download the file by its link for raw files")
    } else if start.starts_with(b"\x1f\x8b") {
        ("compressed by gzip", "unpack it with gunzip")
    } else if LEGACY.iter().any(|number| start.windows(number.len()).any(|window| window == *number)) {
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

/// The number at the beginning of files of torch.save before it used zip files, in binary and text pickles.
const LEGACY: [&[u8]; 2] = [b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", b"L119547037146038801333356L"];

/// The file with the weights, and the key of a set in it.
struct Located<'a> {
    file: PathBuf,
    choice: Option<&'a str>,
}

/// Splits `FILE#KEY` unless a file has that name.
fn locate(path: &Path) -> Result<Located<'_>, CheckpointError> {
    let chosen = path.to_str().and_then(|text| text.rsplit_once('#')).filter(|_| !path.exists());
    let chosen = chosen.filter(|(_, key)| !key.is_empty());
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
    WEIGHTS
        .into_iter()
        .map(|name| path.join(name))
        .find(|file| file.is_file())
        .ok_or(CheckpointError::NothingToLoad)
}

/// Reads a file of at most `limit` bytes.
fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(CheckpointError::LargeFile { limit }) } else { Ok(bytes) }
}

fn within(path: &Path, source: CheckpointError) -> CheckpointError {
    CheckpointError::In { path: path.to_owned(), source: Box::new(source) }
}
