//! Files of `torch.save`: a zip archive of one pickle and the raw data of each tensor storage.
//!
//! The expected content is that of MLFF-Distiller, a dictionary with `model_state_dict` and, in newer files, `config`
//! and `num_parameters`; `sets` finds weights at other keys. No size stated in the file is trusted: entries must be
//! stored uncompressed and cannot have more bytes than the file, nor can all tensors together have more numbers than
//! the file has bytes. Objects to which a pickle refers several times are either not copied, or counted each time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value as Json};

use super::Content;
use super::archive::Archive;
use super::pickle::{Global, Id, Pickle, PickleError, Value};
use super::safetensors::ElementKind;
use super::sets::{self, Chosen};
use crate::error::{excerpt, some};
use crate::{CheckpointError, WeightTensor, Weights};

/// Why a PyTorch file is rejected.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The zip archive is damaged.
    #[error("not a sound zip file: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// An entry cannot be read completely.
    #[error("entry {entry} of the zip file cannot be read: {source}")]
    Entry {
        /// Name of the entry.
        entry: String,
        /// Error of the reader.
        source: std::io::Error,
    },
    /// An entry has a form that PyTorch does not write.
    #[error("entry {entry} of the zip file is compressed or encrypted, which torch.save never does")]
    Compressed {
        /// Name of the entry.
        entry: String,
    },
    /// Entries share bytes, so that together they are larger than the file.
    #[error("entry {entry} of the zip file claims more bytes than the file has left")]
    Overlapping {
        /// Name of the entry.
        entry: String,
    },
    /// The archive has several end records, so its content is ambiguous.
    #[error("the zip file has {found} ends, expected 1: it was not written by torch.save, or is damaged")]
    Ends {
        /// Number of end records.
        found: usize,
    },
    /// The archive has no pickle, or several.
    #[error(
        "the zip file has {found} entries named */data.pkl, expected 1: it was not written by torch.save"
    )]
    NoPickle {
        /// Number of pickles.
        found: usize,
    },
    /// The data has another byte order.
    #[error("the file has the byte order '{found}', expected 'little'")]
    ByteOrder {
        /// Byte order stated in the file.
        found: String,
    },
    /// The archive contains a compiled program.
    #[error(
        "the file holds a program of torch.jit.save, which is not executed: save the weights of the Python module with \
         torch.save({{'model_state_dict': model.state_dict(), 'config': {{...}}}}, path)"
    )]
    Script,
    /// The pickle is rejected.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The file contains no weights.
    #[error(
        "the file holds no dictionary with model_state_dict, a dictionary of tensors: \
         save it with torch.save({{'model_state_dict': model.state_dict(), 'config': {{...}}}}, path){}",
        what_there_is(keys, sets)
    )]
    NoStateDict {
        /// The keys present.
        keys: Vec<String>,
        /// The keys that contain tensors, joined by dots.
        sets: Vec<String>,
    },
    /// The tensors of a list cannot be assigned by their order.
    #[error(
        "the tensors in {key} have no names, and their shapes do not tell which is which: save them as a state_dict"
    )]
    Unnamed {
        /// Key of the list.
        key: String,
    },
    /// An entry of the state dictionary is not a tensor as PyTorch writes it.
    #[error("{name} in the weights is no tensor in a form that is understood: {what}")]
    Tensor {
        /// Key in the state dictionary.
        name: String,
        /// Problem with the entry.
        what: String,
    },
    /// Two tensors have the same name.
    #[error("the weights have {name} twice: the file was not written by torch.save, or is damaged")]
    Repeated {
        /// Key in the state dictionary.
        name: String,
    },
    /// Tensors have more numbers than the file can contain.
    #[error("the tensors up to {name} claim more numbers than the file has bytes ({file_bytes})")]
    TooLarge {
        /// Tensor that exceeds the limit.
        name: String,
        /// Length of the file.
        file_bytes: usize,
    },
    /// The configuration is too large.
    #[error(
        "the configuration is larger than any, at {name}: save sizes of the network alone under 'config'"
    )]
    LargeConfig {
        /// Key in the configuration.
        name: String,
    },
    /// The configuration is not a dictionary.
    #[error("config is no dictionary: save it as one, such as vars(config)")]
    NoDictionary,
    /// A configuration entry cannot be expressed in JSON.
    #[error(
        "{name} in config is neither a number, a string, a truth value, None nor a list or dictionary of these"
    )]
    Config {
        /// Key in the configuration.
        name: String,
    },
}

/// Whether `bytes` start like a zip file.
pub(crate) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Reads the tensors and the configuration of a PyTorch file. `choice` is the key of the weights if there are several
/// sets.
pub(crate) fn read(bytes: &[u8], choice: Option<&str>) -> Result<Content, CheckpointError> {
    let mut archive = Archive::open(bytes)?;
    let pickle = Pickle::read(&archive.entry("data.pkl")?).map_err(TorchError::from)?;

    let Chosen { key, is_chosen, tensors, prefix, borrowed, is_unnamed } = sets::choose(&pickle, choice)?;
    let mut storages =
        Storages { archive, read: BTreeMap::new(), file_bytes: bytes.len(), numbers_left: bytes.len() };
    let mut weights = Weights::new();
    for (name, value) in tensors {
        if weights.contains_key(name) {
            return Err(TorchError::Repeated { name: excerpt(name) }.into());
        }
        weights.insert(name.to_owned(), storages.tensor(&pickle, name, value)?);
    }

    let (mut room, mut opaque) = (MOST_CONFIG, Vec::new());
    let value_of = |key| pickle.entry(pickle.root, key).map(|id| pickle.get(id));
    let mut config = match (value_of("config"), value_of("hyper_parameters")) {
        (Some(Value::Dict(entries)), _) | (None | Some(Value::None), Some(Value::Dict(entries))) => {
            Some(config_of(&pickle, entries, &mut room, &mut opaque)?)
        }
        (None | Some(Value::None), _) => None,
        (Some(_), _) => return Err(TorchError::NoDictionary.into()),
    };
    if let (Some(config), Some(n)) = (&mut config, pickle.entry(pickle.root, "num_parameters")) {
        config.insert("num_parameters".to_owned(), json(&pickle, n, "num_parameters", 0, &mut room)?);
    }
    Ok(Content { weights, key, is_chosen, prefix, borrowed, is_unnamed, config, opaque })
}

fn what_there_is(keys: &[String], sets: &[String]) -> String {
    match (keys, sets) {
        ([], _) => String::new(),
        (_, []) => format!("; it holds {}", some(keys)),
        _ => {
            format!(
                "; it holds {}, with tensors in {}: name one after the file, such as FILE#KEY",
                some(keys),
                some(sets)
            )
        }
    }
}

/// Maximum size of the text of a configuration (bytes), with [`VALUE_BYTES`] more for each value. A pickle can refer to
/// the same list in every entry, and to the same string in every item of the list.
const MOST_CONFIG: usize = 1 << 20;
const VALUE_BYTES: usize = 16;

/// Converts a configuration to JSON, without the values that it cannot express: their keys are added to `opaque`.
fn config_of(
    pickle: &Pickle,
    entries: &[(Id, Id)],
    room: &mut usize,
    opaque: &mut Vec<String>,
) -> Result<Map<String, Json>, TorchError> {
    let mut config = Map::new();
    for &(key, value) in entries {
        let name = pickle.str(key).ok_or_else(|| TorchError::Config { name: "a key".to_owned() })?;
        match json(pickle, value, name, MOST_NESTED, room) {
            Ok(value) => drop(config.insert(name.to_owned(), value)),
            Err(TorchError::Config { .. }) => opaque.push(name.to_owned()),
            Err(other) => return Err(other),
        }
    }
    Ok(config)
}

/// Maximum nesting depth of a configuration.
const MOST_NESTED: usize = 8;

/// Converts a configuration value to JSON: a scalar, or a list, tuple or dictionary. `room` is the remaining size
/// limit.
fn json(pickle: &Pickle, id: Id, name: &str, levels: usize, room: &mut usize) -> Result<Json, TorchError> {
    let needed = name.len() + VALUE_BYTES + pickle.str(id).map_or(0, str::len);
    *room = (*room).checked_sub(needed).ok_or_else(|| TorchError::LargeConfig { name: excerpt(name) })?;
    let unsuited = || TorchError::Config { name: excerpt(name) };
    let mut within = |id: Id, name: &str| match levels.checked_sub(1) {
        Some(levels) => json(pickle, id, name, levels, room),
        None => Err(unsuited()),
    };
    Ok(match pickle.get(id) {
        Value::None => Json::Null,
        Value::Bool(b) => Json::from(*b),
        Value::Int(n) => Json::from(*n),
        Value::Float(x) => Json::from(*x),
        Value::Str(s) => Json::from(s.as_str()),
        // Named once, not for every item.
        Value::List(items) | Value::Tuple(items) => {
            Json::Array(items.iter().map(|&item| within(item, "")).collect::<Result<_, _>>().map_err(
                |error| match error {
                    TorchError::Config { .. } => unsuited(),
                    TorchError::LargeConfig { .. } => TorchError::LargeConfig { name: excerpt(name) },
                    other => other,
                },
            )?)
        }
        Value::Dict(entries) => Json::Object(
            entries
                .iter()
                .map(|&(key, value)| {
                    let key = pickle.str(key).ok_or_else(unsuited)?;
                    Ok((key.to_owned(), within(value, key)?))
                })
                .collect::<Result<_, TorchError>>()?,
        ),
        _ => return Err(unsuited()),
    })
}

/// The raw data of tensors.
struct Storages<'a> {
    archive: Archive<'a>,
    /// Data by key in the archive and type.
    read: BTreeMap<(&'a str, ElementKind), Vec<f64>>,
    file_bytes: usize,
    /// Number of values that further tensors may have.
    numbers_left: usize,
}

impl<'a> Storages<'a> {
    fn tensor(&mut self, pickle: &'a Pickle, name: &str, id: Id) -> Result<WeightTensor, TorchError> {
        let wrong = |what: &str| TorchError::Tensor { name: excerpt(name), what: what.to_owned() };
        let Value::Tensor(arguments) = pickle.get(id) else { return Err(wrong("it is another object")) };
        // (storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
        let Value::Tuple(arguments) = pickle.get(*arguments) else { return Err(wrong("no arguments")) };
        let &[storage, offset, size, stride, ..] = arguments.as_slice() else {
            return Err(wrong("too few arguments"));
        };
        let offset = pickle.size(offset).ok_or_else(|| wrong("its offset is no size"))?;
        let shape =
            pickle.sizes(size, MAX_RANK).ok_or_else(|| wrong("its shape is no short tuple of sizes"))?;
        let strides =
            pickle.sizes(stride, MAX_RANK).ok_or_else(|| wrong("its strides are no short tuple of sizes"))?;
        if shape.len() != strides.len() {
            return Err(wrong("its shape and strides differ in length"));
        }
        let (key, kind) = storage_of(pickle, storage).map_err(|what| wrong(&what))?;

        let too_large = || TorchError::TooLarge { name: excerpt(name), file_bytes: self.file_bytes };
        let count =
            shape.iter().try_fold(1usize, |n, &length| n.checked_mul(length)).ok_or_else(too_large)?;
        self.numbers_left = self.numbers_left.checked_sub(count).ok_or_else(too_large)?;

        let data = match self.read.entry((key, kind)) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(unread) => {
                let bytes = self.archive.entry(&format!("data/{key}"))?;
                unread.insert(kind.decode(&bytes))
            }
        };
        let values = gather(data, offset, &shape, &strides, count)
            .ok_or_else(|| wrong(&format!("it reaches beyond its storage of {} numbers", data.len())))?;
        Ok(WeightTensor { shape, values })
    }
}

/// Maximum number of dimensions of a tensor.
pub(super) const MAX_RANK: usize = 8;

/// Returns the key in the archive and the element type of a storage.
fn storage_of(pickle: &Pickle, id: Id) -> Result<(&str, ElementKind), String> {
    let what = || "its storage is not described as ('storage', type, key, device, length)".to_owned();
    let Value::Persistent(description) = pickle.get(id) else { return Err(what()) };
    let Value::Tuple(description) = pickle.get(*description) else { return Err(what()) };
    let &[_, kind, key, ..] = description.as_slice() else { return Err(what()) };
    let Value::Global(Global::Storage(kind)) = pickle.get(kind) else { return Err(what()) };
    let kind = match *kind {
        "FloatStorage" => ElementKind::F32,
        "DoubleStorage" => ElementKind::F64,
        "HalfStorage" => ElementKind::F16,
        "BFloat16Storage" => ElementKind::Bf16,
        other => return Err(format!("it is a torch.{other}, expected floating-point numbers")),
    };
    Ok((pickle.str(key).ok_or_else(what)?, kind))
}

/// Copies the `count` elements of a strided view, row-major; `None` if it exceeds `data`.
fn gather(data: &[f64], offset: usize, shape: &[usize], strides: &[usize], count: usize) -> Option<Vec<f64>> {
    let mut index = vec![0; shape.len()];
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let place = index
            .iter()
            .zip(strides)
            .try_fold(offset, |place, (i, stride): (&usize, _)| place.checked_add(i.checked_mul(*stride)?))?;
        values.push(*data.get(place)?);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests;
