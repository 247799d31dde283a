//! Files of `torch.save`: a zip archive of one pickle and the raw data of each tensor storage.
//!
//! The expected content is that of MLFF-Distiller, a dictionary with `model_state_dict` and, in newer files, `config`
//! and `num_parameters`; `sets` finds weights at other keys. No size stated in the file is trusted: entries must be
//! stored uncompressed and cannot have more bytes than the file, nor can all tensors together have more numbers than
//! the file has bytes. Objects to which a pickle refers several times are either not copied, or counted each time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Map, Value as Json};

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
    /// The file contains more than one set of weights, each a different network.
    #[error(
        "the file holds several sets of weights, {}: which of them is deployed? Name it after the file, such as FILE#{}",
        some(keys),
        keys.last().map_or("", String::as_str)
    )]
    SeveralSets {
        /// Their keys, joined by dots.
        keys: Vec<String>,
    },
    /// The selected set of weights does not exist.
    #[error("the file holds no set of weights '{key}'; it holds {}", some(keys))]
    NoSuchSet {
        /// The selected key.
        key: String,
        /// The keys present.
        keys: Vec<String>,
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

/// Contents of a PyTorch checkpoint.
pub(crate) struct TorchFile {
    pub(crate) weights: Weights,
    /// Key of the weights if there are several sets.
    pub(crate) chosen: Option<String>,
    /// `config`, with the `num_parameters` of the file added; `None` in older files.
    pub(crate) config: Option<Map<String, Json>>,
}

/// Whether `bytes` start like a zip file.
pub(crate) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Reads the tensors and the configuration of a PyTorch file. `choice` is the key of the weights if there are several
/// sets.
pub(crate) fn read(bytes: &[u8], choice: Option<&str>) -> Result<TorchFile, CheckpointError> {
    let mut archive = Archive::open(bytes)?;
    let pickle = Pickle::read(&archive.entry("data.pkl")?).map_err(TorchError::from)?;

    let Chosen { key, tensors, is_one_of_several } = sets::choose(&pickle, choice)?;
    let mut storages =
        Storages { archive, read: BTreeMap::new(), file_bytes: bytes.len(), numbers_left: bytes.len() };
    let mut weights = Weights::new();
    for (name, value) in tensors {
        if weights.contains_key(name) {
            return Err(TorchError::Repeated { name: excerpt(name) }.into());
        }
        weights.insert(name.to_owned(), storages.tensor(&pickle, name, value)?);
    }

    let mut room = MOST_CONFIG;
    let mut config = match pickle.entry(pickle.root, "config").map(|id| pickle.get(id)) {
        None | Some(Value::None) => None,
        Some(Value::Dict(entries)) => Some(config_of(&pickle, entries, &mut room)?),
        Some(_) => return Err(TorchError::NoDictionary.into()),
    };
    if let (Some(config), Some(n)) = (&mut config, pickle.entry(pickle.root, "num_parameters")) {
        config.insert("num_parameters".to_owned(), json(&pickle, n, "num_parameters", 0, &mut room)?);
    }
    Ok(TorchFile { weights, chosen: is_one_of_several.then_some(key), config })
}

fn what_there_is(keys: &[String], sets: &[String]) -> String {
    match (keys, sets) {
        ([], _) => String::new(),
        (_, []) => format!("; it holds {}", some(keys)),
        _ => {
            format!("; it holds {}, with tensors in {}: FILE#KEY takes those of one", some(keys), some(sets))
        }
    }
}

/// Maximum size of the text of a configuration (bytes), with [`VALUE_BYTES`] more for each value. A pickle can refer to
/// the same list in every entry, and to the same string in every item of the list.
const MOST_CONFIG: usize = 1 << 20;
const VALUE_BYTES: usize = 16;

fn config_of(
    pickle: &Pickle,
    entries: &[(Id, Id)],
    room: &mut usize,
) -> Result<Map<String, Json>, TorchError> {
    let mut config = Map::new();
    for &(key, value) in entries {
        let name = pickle.str(key).ok_or_else(|| TorchError::Config { name: "a key".to_owned() })?;
        config.insert(name.to_owned(), json(pickle, value, name, MOST_NESTED, room)?);
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
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    const FIXTURE: &[u8] = include_bytes!("../../tests/data/distiller.pt");

    fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in entries {
            zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn with_pickle(pickle: &[u8]) -> Vec<u8> {
        archive(&[("m/data.pkl", pickle), ("m/data/0", &[0; 16])], CompressionMethod::Stored)
    }

    fn error(bytes: &[u8]) -> TorchError {
        match read(bytes, None) {
            Err(CheckpointError::Torch(error)) => error,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("read without an error"),
        }
    }

    /// `{'model_state_dict': {'w': <tensor>}}` with a float tensor of this offset, shape and strides.
    fn state_dict_of(offset: i32, shape: [i32; 2], strides: [i32; 2]) -> Vec<u8> {
        let int = |n: i32| [&b"J"[..], &n.to_le_bytes()].concat();
        let pair = |[a, b]: [i32; 2]| [&int(a)[..], &int(b), b"\x86"].concat();
        let mut p =
            b"\x80\x02}\x8c\x10model_state_dict}\x8c\x01wctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
        p.extend(b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x04tQ");
        p.extend([int(offset), pair(shape), pair(strides)].concat());
        p.extend(b"\x89ccollections\nOrderedDict\n)RtRss.");
        p
    }

    #[test]
    fn torch_read_lays_out_storage_views_row_major() {
        let data: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let values = |offset, shape, strides| {
            let pickle = state_dict_of(offset, shape, strides);
            let file = archive(&[("m/data.pkl", &pickle), ("m/data/0", &data)], CompressionMethod::Stored);
            read(&file, None).map(|content| content.weights["w"].values.clone())
        };
        assert_eq!(values(0, [2, 2], [2, 1]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(values(0, [2, 2], [1, 2]).unwrap(), [1.0, 3.0, 2.0, 4.0], "transposed");
        assert_eq!(values(2, [1, 2], [2, 1]).unwrap(), [3.0, 4.0], "from the third number on");
        assert_eq!(values(3, [2, 2], [0, 0]).unwrap(), [4.0; 4], "one number expanded");
        assert_eq!(values(0, [0, 2], [2, 1]).unwrap(), [0.0; 0], "empty");
        let message = values(1, [2, 2], [2, 1]).unwrap_err().to_string();
        assert!(message.contains("reaches beyond its storage of 4 numbers"), "{message}");
    }

    #[test]
    fn torch_read_rejects_oversized_shapes() {
        for shape in [[i32::MAX, i32::MAX], [100_000, 100_000], [1 << 20, 1]] {
            let file = with_pickle(&state_dict_of(0, shape, [0, 0]));
            assert!(matches!(error(&file), TorchError::TooLarge { .. }));
        }
        assert!(matches!(error(&with_pickle(&state_dict_of(0, [-1, 2], [2, 1]))), TorchError::Tensor { .. }));
    }

    #[test]
    fn pickle_names_and_refuses_python_code() {
        let cases: [(&[u8], &str); 7] = [
            (b"\x80\x02cos\nsystem\n\x8c\x04true\x85R.", "os.system"),
            (b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.", "posix.system"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
            (b"\x80\x02ctorch._utils\n_rebuild_device_tensor_from_numpy\n.", "torch._utils._rebuild_device"),
            (b"\x80\x02ctorch\nload\n.", "torch.load"),
            (b"\x80\x02}\x8c\x04hookcnumpy\nload\n)Rs.", "'numpy.load' (after 'hook', byte 9)"),
            (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
        ];
        for (pickle, name) in cases {
            let error = error(&with_pickle(pickle));
            assert!(matches!(&error, TorchError::Pickle(PickleError::ForbiddenGlobal { .. })), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
        // INST, OBJ, NEWOBJ, EXT1, PERSID: other ways to refer to a class or a custom reader.
        for opcode in [b'i', b'o', 0x81, 0x82, b'P'] {
            let error = error(&with_pickle(&[0x80, 2, opcode, 0, 0]));
            assert!(
                matches!(error, TorchError::Pickle(PickleError::ForbiddenOpcode { opcode: o, .. }) if o == opcode)
            );
        }
    }

    #[test]
    fn pickle_damaged_is_refused() {
        for pickle in [
            &b""[..],
            b"\x80",
            b"\x80\x02",
            b"\x80\x02.",                     // nothing on the stack
            b"\x80\x02t.",                    // no MARK
            b"\x80\x02h\x05.",                // nothing in the memo
            b"\x80\x02}\x88s.",               // a key without a value
            b"\x80\x02X\xff\xff\xff\xff.",    // a string of 4 GB
            b"\x80\x02\x8c\x02\xff\xff.",     // not UTF-8
            b"\x80\x02}(0.",                  // pops what is below the MARK
            b"\x80\x02\x88)R.",               // calls True
            b"\x80\x02\x88\x88b.",            // attributes of True
            b"\x80\x02\x8a\xff.",             // an integer of 255 bytes, of which one is there
            b"\x80\x02\x8f(\x88u.",           // a key without a value, in a set
            b"\x80\x02Nc_codecs\nencode\nR.", // a call without arguments
        ] {
            let error = error(&with_pickle(pickle));
            assert!(matches!(error, TorchError::Pickle(_)), "{pickle:?}: {error}");
        }
        // Valid pickles of other objects.
        for pickle in [&b"\x80\x02N."[..], b"\x80\x02}.", b"\x80\x02}\x8c\x10model_state_dictK\x01s."] {
            assert!(matches!(error(&with_pickle(pickle)), TorchError::NoStateDict { .. }), "{pickle:?}");
        }
    }

    #[test]
    fn pickle_ignores_harmless_objects() {
        for object in [
            &b"ctorch\ndevice\n(\x8c\x04cudaK\x00tR"[..],
            b"ctorch\nfloat32\n",
            b"ctorch\nSize\n(K\x01K\x02t\x85R",
            b"c__builtin__\nset\n](K\x01K\x02e\x85R",
            b"\x8f(K\x01K\x02\x90",
            b"(K\x01\x91",
            b"ccollections\ndefaultdict\nc__builtin__\nlong\n\x85R(\x8c\x01aK\x01u",
            b"ccollections\ndeque\n)R(K\x01e",
            b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n(\x8c\x02f8\x89\x88tR(K\x03\x8c\x01<NNNtb\
              c_codecs\nencode\n(\x8c\x08\0\0\0\0\0\0\0\0\x8c\x06latin1tR\x86R",
            b"cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n)RC\x02\0\xff\x86R",
            b"B\x02\0\0\0\0\xff",
            b"cargparse\nNamespace\n)\x81}\x8c\x02lrG\0\0\0\0\0\0\0\0sb",
            b"cpathlib\nPosixPath\n(\x8c\x01/\x8c\x03tmptR",
            b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00", // torch.initial_seed()
        ] {
            let sound = state_dict_of(0, [1, 1], [1, 1]);
            let entry = [b"\x8c\x06beside", object, b"s."].concat();
            let beside = [&sound[..sound.len() - 1], &entry].concat();
            assert!(read(&with_pickle(&beside), None).is_ok(), "{object:?}");
            // In a configuration the object would be needed; a dictionary with a default counts as a dictionary.
            let needed = with_pickle(&config_of(b"", &[b"\x8c\x06cutoff", object].concat()));
            match read(&needed, None) {
                Ok(content) => {
                    assert_eq!(Json::from(content.config), serde_json::json!({ "cutoff": { "a": 1 } }))
                }
                Err(error) => {
                    assert!(error.to_string().starts_with("cutoff in config is neither"), "{error}")
                }
            }
        }
    }

    /// Deep nesting does not overflow the stack, and a list that contains itself does not exhaust memory.
    #[test]
    fn pickle_survives_deep_and_cyclic_nesting() {
        let mut deep = vec![b']'; 1_000_000];
        deep.extend(vec![b'a'; 999_999]);
        deep.push(b'.');
        assert!(matches!(error(&with_pickle(&deep)), TorchError::NoStateDict { .. }));
        let mut doubled = b"]q\0".to_vec();
        for _ in 0..100_000 {
            doubled.extend(b"h\0h\0\x86q\0");
        }
        doubled.push(b'.');
        assert!(matches!(error(&with_pickle(&doubled)), TorchError::NoStateDict { .. }));
        let cyclic = b"\x80\x02}q\0\x8c\x10model_state_dicth\0s.";
        assert!(matches!(error(&with_pickle(cyclic)), TorchError::NoStateDict { .. }));
    }

    /// `{'model_state_dict': {}, 'config': {...}}` with `config` as the bytes between its MARK and its SETITEMS.
    fn config_of(before: &[u8], config: &[u8]) -> Vec<u8> {
        [b"\x80\x02", before, b"}(\x8c\x10model_state_dict}\x8c\x06config}(", config, b"uu."].concat()
    }

    /// One string in every item of one list in every entry: 10 kB that would expand to a terabyte.
    #[test]
    fn pickle_shared_objects_are_not_expanded() {
        let text = [&b"X\xe8\x03\0\0"[..], &[b'x'; 1000], b"q\x00"].concat();
        let list = [&b"]("[..], &b"h\0".repeat(1000), b"eq\x01"].concat();
        let entries: Vec<u8> = (0..100u8).flat_map(|k| [0x8c, 1, k, b'h', 1]).collect();
        let pickle = config_of(&[text, list].concat(), &entries);
        let error = error(&with_pickle(&pickle));
        assert!(matches!(error, TorchError::LargeConfig { .. }), "{error}");
        let sound = with_pickle(&config_of(b"X\x04\0\0\0sizeq\0", b"h\0K\x05\x8c\x01l](K\x01K\x02e"));
        let config = read(&sound, None).unwrap().config.unwrap();
        assert_eq!(Json::from(config), serde_json::json!({ "size": 5, "l": [1, 2] }));
        let nested = with_pickle(&config_of(b"", b"\x8c\x05model}\x8c\x01n](K\x01}es"));
        let config = read(&nested, None).unwrap().config.unwrap();
        assert_eq!(Json::from(config), serde_json::json!({ "model": { "n": [1, {}] } }));
    }

    #[test]
    fn torch_read_rejects_repeated_tensor_name() {
        // Repeats the second pair of key and value before SETITEM.
        let once = state_dict_of(0, [1, 1], [1, 1]);
        let key = once.windows(3).position(|w| w == b"\x8c\x01w").unwrap();
        let pair = &once[key..once.len() - 3];
        let twice = [&once[..key], b"(", pair, pair, b"us."].concat();
        let error = error(&with_pickle(&twice));
        assert!(matches!(&error, TorchError::Repeated { name } if name == "w"), "{error}");
    }

    /// A directory that states a false length for a stored entry, or none.
    #[test]
    fn zip_entry_with_false_length_is_refused() {
        let file = with_pickle(&state_dict_of(0, [1, 1], [1, 1]));
        let directory = file.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
        for stated in [0u32, 15, 17, u32::MAX - 1] {
            let mut bytes = file.clone();
            bytes[directory + 24..directory + 28].copy_from_slice(&stated.to_le_bytes());
            let error = error(&bytes);
            assert!(matches!(error, TorchError::Overlapping { .. }), "{stated}: {error}");
        }
    }

    #[test]
    fn zip_with_several_ends_is_refused() {
        let ends = [FIXTURE, &b"PK\x05\x06".repeat(1000)].concat();
        assert!(matches!(error(&ends), TorchError::Ends { found: 1001 }));
    }

    #[test]
    fn torch_read_refuses_foreign_archives() {
        let pickle: &[u8] = b"\x80\x02}.";
        let bomb = vec![0; 10_000_000];
        let deflated = archive(&[("m/data.pkl", &bomb)], CompressionMethod::Deflated);
        assert!(deflated.len() < 20_000);
        assert!(matches!(error(&deflated), TorchError::Compressed { .. }));
        let stored = |entries: &[(&str, &[u8])]| error(&archive(entries, CompressionMethod::Stored));
        assert!(matches!(stored(&[("readme.txt", pickle)]), TorchError::NoPickle { found: 0 }));
        assert!(matches!(
            stored(&[("a/data.pkl", pickle), ("b/data.pkl", pickle)]),
            TorchError::NoPickle { found: 2 }
        ));
        let big = stored(&[("m/data.pkl", pickle), ("m/byteorder", b"big")]);
        assert!(matches!(big, TorchError::ByteOrder { .. }));
        for end in [0, 4, 100, FIXTURE.len() / 2, FIXTURE.len() - 1] {
            assert!(matches!(error(&FIXTURE[..end]), TorchError::Zip(_)), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn torch_read_never_panics_on_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes, None);
            let _ = read(&with_pickle(&bytes), None);
        }

        /// Programs of valid instructions test more of the reader than noise does.
        #[test]
        fn pickle_never_panics_on_arbitrary_programs(
            program in prop::collection::vec(prop::sample::select(&b"(.0N\x88K\x00M}])t\x85\x86\x87aesuq\x01h\x94QRb"[..]), 0..60),
        ) {
            let _ = read(&with_pickle(&program), None);
        }

        #[test]
        fn torch_read_never_panics_on_damaged_file(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = FIXTURE.to_vec();
            for (index, byte) in &changes {
                bytes[index.index(FIXTURE.len())] = *byte;
            }
            let _ = read(&bytes, None);
        }

        /// Damage within the pickle, with a valid checksum of the archive.
        #[test]
        fn pickle_never_panics_on_damage(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut pickle = Archive::open(FIXTURE).unwrap().entry("data.pkl").unwrap();
            for (index, byte) in &changes {
                let length = pickle.len();
                pickle[index.index(length)] = *byte;
            }
            let _ = read(&with_pickle(&pickle), None);
        }
    }
}
