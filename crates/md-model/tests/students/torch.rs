//! Typical files of `torch.save`: with several sets of weights, at other keys, and with other objects.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use md_model::{
    Architecture, Checkpoint, CheckpointError, DistillerHyperparameters, TorchError, WeightTensor, Weights,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::distiller::data;
use crate::{messages, within};

/// Contents of a file.
#[derive(Clone)]
enum Object {
    Int(i32),
    Float(f64),
    Str(&'static str),
    Dict(Vec<(String, Object)>),
    List(Vec<Object>),
    Tensor(WeightTensor),
}

fn dict<const N: usize>(entries: [(&str, Object); N]) -> Object {
    Object::Dict(entries.map(|(key, value)| (key.to_owned(), value)).into())
}

/// Creates a state dictionary, with a prefix to every name.
fn state(weights: &Weights, prefix: &str) -> Object {
    Object::Dict(
        weights.iter().map(|(name, t)| (format!("{prefix}{name}"), Object::Tensor(t.clone()))).collect(),
    )
}

/// Writes the pickle of an object and collects the data of its tensors.
struct Writer {
    pickle: Vec<u8>,
    data: Vec<Vec<u8>>,
}

impl Writer {
    fn str(&mut self, text: &str) {
        self.pickle.push(b'X');
        self.pickle.extend((text.len() as u32).to_le_bytes());
        self.pickle.extend(text.as_bytes());
    }

    fn int(&mut self, n: i32) {
        self.pickle.push(b'J');
        self.pickle.extend(n.to_le_bytes());
    }

    fn sizes(&mut self, sizes: &[usize]) {
        self.pickle.push(b'(');
        sizes.iter().for_each(|&n| self.int(n as i32));
        self.pickle.push(b't');
    }

    fn write(&mut self, object: &Object) {
        match object {
            Object::Int(n) => self.int(*n),
            Object::Float(x) => {
                self.pickle.push(b'G');
                self.pickle.extend(x.to_be_bytes());
            }
            Object::Str(text) => self.str(text),
            Object::Dict(entries) => {
                self.pickle.extend(b"}(");
                for (key, value) in entries {
                    self.str(key);
                    self.write(value);
                }
                self.pickle.push(b'u');
            }
            Object::List(items) => {
                self.pickle.extend(b"](");
                items.iter().for_each(|item| self.write(item));
                self.pickle.push(b'e');
            }
            Object::Tensor(tensor) => {
                self.pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
                self.str("storage");
                self.pickle.extend(b"ctorch\nFloatStorage\n");
                self.str(&self.data.len().to_string());
                self.str("cpu");
                self.int(tensor.values.len() as i32);
                self.pickle.extend(b"tQ");
                self.int(0);
                self.sizes(&tensor.shape);
                let strides: Vec<usize> =
                    (1..=tensor.shape.len()).map(|d| tensor.shape[d..].iter().product()).collect();
                self.sizes(&strides);
                self.pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
                self.data.push(tensor.values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect());
            }
        }
    }
}

/// Returns the bytes of a file that contains `object`.
fn saved(object: &Object) -> Vec<u8> {
    let mut writer = Writer { pickle: b"\x80\x02".to_vec(), data: Vec::new() };
    writer.write(object);
    writer.pickle.push(b'.');
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let names = (0..writer.data.len()).map(|key| format!("m/data/{key}"));
    for (name, bytes) in std::iter::once("m/data.pkl".to_owned())
        .chain(names)
        .zip(std::iter::once(&writer.pickle).chain(&writer.data))
    {
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

const SIZES: DistillerHyperparameters = DistillerHyperparameters {
    hidden_dim: 8,
    num_interactions: 1,
    num_rbf: 4,
    cutoff: 4.5,
    max_z: 8,
    learnable_rbf: false,
};

fn student(seed: u64) -> Checkpoint {
    Checkpoint::untrained(&Architecture::Distiller(SIZES), seed).unwrap()
}

/// Its `config`.
fn config() -> Object {
    dict([
        ("hidden_dim", Object::Int(8)),
        ("num_interactions", Object::Int(1)),
        ("num_rbf", Object::Int(4)),
        ("cutoff", Object::Float(4.5)),
        ("max_z", Object::Int(8)),
    ])
}

/// `best.pt` in a folder.
struct File(TempDir);

impl File {
    fn new(object: &Object) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("best.pt"), saved(object)).unwrap();
        File(folder)
    }

    fn path(&self, choice: &str) -> PathBuf {
        self.0.path().join(format!("best.pt{choice}"))
    }

    fn load(&self, choice: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::load(self.path(choice))
    }
}

/// Returns what is wrong with the file of `torch.save` that the error names.
fn of_torch<'a>(file: &Path, error: &'a CheckpointError) -> &'a TorchError {
    let CheckpointError::Torch(error) = within(file, error) else { panic!("{error:?}") };
    error
}

fn trained(weights: &Weights) -> Weights {
    weights
        .iter()
        .filter(|(name, _)| !name.starts_with("rbf."))
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect()
}

/// Tensors as returned by `parameters()`, without names.
fn listed(weights: &Weights) -> Object {
    Object::List(weights.values().map(|t| Object::Tensor(t.clone())).collect())
}

/// Only the owner of a file knows which of several sets is deployed, for any keys.
#[test]
fn torch_load_asks_which_of_several_weight_sets() {
    let (raw, average) = (student(1), student(2));
    let (r, a) = (raw.weights(), average.weights());
    let Object::Dict(mut swa) = state(a, "module.") else { panic!() };
    swa.insert(0, ("n_averaged".to_owned(), Object::Int(7)));
    let number = |x| Object::Tensor(WeightTensor { shape: vec![], values: vec![x] });
    let cases = [
        ("ema_state_dict", "ema_state_dict", state(a, "")),
        ("ema", "ema.params", dict([("decay", number(0.99)), ("params", listed(a))])),
        (
            "ema",
            "ema.shadow_params",
            dict([("decay", Object::Float(0.99)), ("shadow_params", listed(&trained(a)))]),
        ),
        ("ema_parameters", "ema_parameters", listed(a)),
        ("ema", "ema.module", dict([("module", state(a, "_orig_mod.module."))])),
        ("shadow", "shadow", state(&trained(a), "")),
        ("averaged_model", "averaged_model", Object::Dict(swa)),
        ("best", "best", state(a, "")),
        (
            "callbacks",
            "callbacks.EMA.ema_weights",
            dict([("EMA", dict([("ema_weights", listed(&trained(a)))]))]),
        ),
        (
            "optimizer_states",
            "optimizer_states.0.ema",
            Object::List(vec![dict([("ema", listed(&trained(a)))])]),
        ),
        ("optimizer", "optimizer.swa_state", dict([("swa_state", state(&trained(a), ""))])),
    ];
    let mut texts = Vec::new();
    for (key, choice, second) in cases {
        let file =
            File::new(&dict([("model_state_dict", state(r, "")), (key, second), ("config", config())]));
        let several = file.load("").unwrap_err();
        let TorchError::SeveralSets { keys } = of_torch(&file.path(""), &several) else {
            panic!("{several}")
        };
        assert_eq!(*keys, ["model_state_dict", choice]);

        let found = [file.load("#model_state_dict"), file.load(&format!("#{choice}"))].map(Result::unwrap);
        assert!(found[0].weights() == r, "{choice}: the raw weights");
        assert!(found[1].weights() == a, "{choice}: the average");
        // One file with two networks.
        assert_ne!(found[0].sha256(), found[1].sha256());
        let none = file.load("#emma").unwrap_err();
        let TorchError::NoSuchSet { key, keys } = of_torch(&file.path(""), &none) else { panic!("{none}") };
        assert_eq!((key.as_str(), keys), ("emma", &vec!["model_state_dict".to_owned(), choice.to_owned()]));
        texts.push(messages(&[several, none], file.0.path()));

        let names = |choice: &str| Checkpoint::files(file.path(choice)).into_iter().map(|(name, _)| name);
        assert_eq!(names("").collect::<Vec<_>>(), ["best.pt"]);
        assert_eq!(names("#ema").collect::<Vec<_>>(), ["best.pt#ema"]);
        fs::write(file.0.path().join("config.json"), "{}").unwrap();
        assert_eq!(names("").collect::<Vec<_>>(), ["best.pt", "config.json"]);
    }
    insta::assert_snapshot!(texts.join("\n"));
}

/// It is detected although its form is unknown.
#[test]
fn torch_load_asks_about_average_of_unknown_form() {
    let (raw, average) = (student(1), student(2));
    let pairs = average
        .weights()
        .iter()
        .map(|(name, t)| (name.clone(), Object::List(vec![Object::Int(3), Object::Tensor(t.clone())])));
    let file = File::new(&dict([
        ("model_state_dict", state(raw.weights(), "")),
        ("averages", dict([("of", Object::Dict(pairs.collect()))])),
        ("config", config()),
    ]));
    let several = file.load("").unwrap_err();
    assert!(matches!(of_torch(&file.path(""), &several), TorchError::SeveralSets { .. }), "{several:?}");
    assert!(file.load("#model_state_dict").unwrap().weights() == raw.weights());
    let unnamed = file.load("#averages").unwrap_err();
    assert!(matches!(of_torch(&file.path(""), &unnamed), TorchError::Unnamed { .. }), "{unnamed:?}");
    insta::assert_snapshot!(messages(&[several, unnamed], file.0.path()));
}

/// The moments of an optimiser have the shapes of the weights, and tensors of another network do not.
#[test]
fn torch_load_ignores_tensors_of_optimiser_and_teacher() {
    let raw = student(1);
    let moments = |t: &WeightTensor| {
        dict([("exp_avg", Object::Tensor(t.clone())), ("exp_avg_sq", Object::Tensor(t.clone()))])
    };
    let by_name = Object::Dict(raw.weights().iter().map(|(name, t)| (name.clone(), moments(t))).collect());
    let teacher = DistillerHyperparameters { hidden_dim: 24, num_rbf: 9, max_z: 20, ..SIZES };
    let teacher = Checkpoint::untrained(&Architecture::Distiller(teacher), 1).unwrap();
    let file = File::new(&dict([
        ("epoch", Object::Int(3)),
        ("model_state_dict", state(raw.weights(), "")),
        ("optimizer_state_dict", dict([("state", by_name), ("momentum_buffer", state(raw.weights(), ""))])),
        ("optimizer", dict([("momentum", listed(raw.weights()))])),
        ("teacher", state(teacher.weights(), "")),
        ("loss", Object::Tensor(WeightTensor { shape: vec![], values: vec![0.5] })),
        ("config", config()),
    ]));
    let loaded = file.load("").unwrap();
    assert!(loaded.weights() == raw.weights());
    // There is only one set, so selecting it changes nothing.
    assert!(file.load("#model_state_dict").unwrap() == loaded);
    let none = file.load("#teacher").unwrap_err();
    assert!(matches!(of_torch(&file.path(""), &none), TorchError::NoSuchSet { .. }), "{none:?}");
    let none = messages(&[none], file.0.path());

    let folder = tempfile::tempdir().unwrap();
    raw.save(folder.path()).unwrap();
    let chosen = format!("{}#model_state_dict", folder.path().display());
    let other_format = Checkpoint::load(chosen).unwrap_err();
    let weights = folder.path().join("model.safetensors");
    assert!(matches!(within(weights, &other_format), CheckpointError::NoChoice { .. }), "{other_format:?}");
    insta::assert_snapshot!(format!("{none}\n{}", messages(&[other_format], folder.path())));
    // A file name may contain '#'.
    let named = folder.path().join("v#1.safetensors");
    fs::rename(folder.path().join("model.safetensors"), &named).unwrap();
    assert!(Checkpoint::load(&named).unwrap() == raw);
}

/// Wrappers of a network add a prefix to every name; saving programs use various keys.
#[test]
fn torch_load_finds_weights_under_prefixes_and_keys() {
    let student = student(1);
    let weights = student.weights();
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net.student."] {
        for key in ["model_state_dict", "state_dict", "model"] {
            let file = File::new(&dict([(key, state(weights, prefix)), ("config", config())]));
            assert!(file.load("").unwrap().weights() == weights, "{key} {prefix}");
        }
    }
    // A prefix that not all names share is part of the name.
    let Object::Dict(mut entries) = state(weights, "module.") else { panic!() };
    entries[0].0 = entries[0].0.replace("module.", "");
    let file = File::new(&dict([("model_state_dict", Object::Dict(entries)), ("config", config())]));
    let missing = file.load("").unwrap_err();
    let CheckpointError::MissingTensor { name, .. } = within(file.path(""), &missing) else {
        panic!("{missing:?}")
    };
    assert_eq!(name, "rbf.centers");
    let mut texts = vec![messages(&[missing], file.0.path())];

    // Only model.state_dict().
    let file = File::new(&state(weights, ""));
    let no_config = file.load("").unwrap_err();
    let problem = within(file.path(""), &no_config);
    assert!(matches!(problem, CheckpointError::NoConfiguration { .. }), "{no_config:?}");
    texts.push(messages(&[no_config], file.0.path()));
    let beside = r#"{ "model_type": "painn_student_mlff_distiller", "hidden_dim": 8, "num_interactions": 1, "num_rbf": 4, "max_z": 8, "cutoff": 4.5 }"#;
    fs::write(file.0.path().join("config.json"), beside).unwrap();
    assert!(file.load("").unwrap().weights() == weights);

    // At other keys it must be selected.
    let file = File::new(&dict([
        ("epoch", Object::Int(3)),
        ("run", Object::Str("a")),
        ("net", dict([("state", state(weights, ""))])),
        ("config", config()),
    ]));
    let none = file.load("").unwrap_err();
    assert!(matches!(of_torch(&file.path(""), &none), TorchError::NoStateDict { .. }), "{none:?}");
    texts.push(messages(&[none], file.0.path()));
    insta::assert_snapshot!(texts.join("\n"));
    assert!(file.load("#net.state").unwrap().weights() == weights);
}

/// Shapes with more than one possible assignment do not identify tensors.
#[test]
fn torch_load_refuses_ambiguous_unnamed_tensors() {
    let (raw, average) = (student(1), student(2));
    let mut some = average.weights().clone();
    some.remove("rbf.centers"); // and not rbf.widths, which has the same shape
    let file = File::new(&dict([
        ("model_state_dict", state(raw.weights(), "")),
        ("ema", listed(&some)),
        ("config", config()),
    ]));
    let error = file.load("#ema").unwrap_err();
    assert!(matches!(of_torch(&file.path(""), &error), TorchError::Unnamed { .. }), "{error:?}");
    insta::assert_snapshot!(messages(&[error], file.0.path()));
}

/// Returns a folder with the fixture as `best_model.pt`, with underscores for the first occurrence of this text in the
/// pickle.
fn fixture_without(text: &str) -> TempDir {
    let mut original = ZipArchive::new(fs::File::open(data("distiller.pt")).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best_model.pt");
    let mut changed = ZipWriter::new(fs::File::create(&path).unwrap());
    for i in 0..original.len() {
        let mut entry = original.by_index(i).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        if entry.name().ends_with("data.pkl") {
            let at = content.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
            content[at..at + text.len()].fill(b'_');
        }
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        changed.start_file(entry.name(), stored).unwrap();
        changed.write_all(&content).unwrap();
    }
    changed.finish().unwrap();
    folder
}

#[test]
fn torch_load_names_missing_weights() {
    let [set, tensor] = ["model_state_dict", "rbf.centers"].map(fixture_without);
    let [no_set, no_tensor] = [&set, &tensor].map(|folder| Checkpoint::load(folder.path()).unwrap_err());
    let problem = of_torch(&set.path().join("best_model.pt"), &no_set);
    assert!(matches!(problem, TorchError::NoStateDict { .. }), "{no_set:?}");
    let problem = within(tensor.path().join("best_model.pt"), &no_tensor);
    let CheckpointError::MissingTensor { name, expected } = problem else { panic!("{no_tensor:?}") };
    assert_eq!((name.as_str(), expected.as_slice()), ("rbf.centers", &[4][..]));
    let texts = [messages(&[no_set], set.path()), messages(&[no_tensor], tensor.path())];
    insta::assert_snapshot!(texts.join("\n"));
}

/// Files from before MLFF-Distiller saved `config`: `config.json` in the same folder adds the missing keys, and nothing
/// is guessed.
#[test]
fn torch_load_without_config_needs_config_json() {
    let folder = fixture_without("config");
    let no_config = Checkpoint::load(folder.path()).unwrap_err();
    let problem = within(folder.path().join("best_model.pt"), &no_config);
    assert!(matches!(problem, CheckpointError::NoConfiguration { .. }), "{no_config:?}");
    let error = no_config.to_string();
    // The content requested by the message, and common additions.
    let start = error.find('{').unwrap();
    let text = error[start..=error.rfind('}').unwrap()].replace("<Å>", "4.5");
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["source"] = json!("the attic");
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let (older, newer) =
        (Checkpoint::load(folder.path()).unwrap(), Checkpoint::load(data("distiller.pt")).unwrap());
    assert_eq!((older.weights(), older.architecture()), (newer.weights(), newer.architecture()));

    config.as_object_mut().unwrap().remove("cutoff");
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let no_cutoff = Checkpoint::load(folder.path()).unwrap_err();
    let CheckpointError::In { source, .. } = &no_cutoff else { panic!("{no_cutoff:?}") };
    assert!(matches!(**source, CheckpointError::Config(_)), "{no_cutoff:?}");
    insta::assert_snapshot!(messages(&[no_config, no_cutoff], folder.path()));
}

/// `config` in the file and `config.json` in the same folder.
#[test]
fn torch_load_refuses_contradictory_configs() {
    let folder = tempfile::tempdir().unwrap();
    let [file, beside] = ["student.pt", "config.json"].map(|name| folder.path().join(name));
    fs::copy(data("distiller.pt"), &file).unwrap();
    let load = |config: Value| {
        fs::write(&beside, config.to_string()).unwrap();
        Checkpoint::load(&file)
    };
    let alone = Checkpoint::load(data("distiller.pt")).unwrap();
    assert!(load(json!({ "cutoff": 4.5, "max_z": 8, "note": "of this file" })).unwrap() == alone);
    // A restriction is not a contradiction.
    assert_eq!(load(json!({ "elements": ["H"] })).unwrap().elements(), &["H".parse().unwrap()]);
    let mut errors = Vec::new();
    for (name, value, here) in [
        ("cutoff", json!(4.48), "4.5"),
        ("hidden_dim", json!(16), "8"),
        ("use_torch_cluster", json!(false), "true"),
        ("num_parameters", json!(5), &alone.parameter_count().to_string()),
    ] {
        let error = load(json!({ name: value })).unwrap_err();
        let CheckpointError::In { source, .. } = &error else { panic!("{error:?}") };
        let CheckpointError::Contradiction { key, one, place, other, other_place } = &**source else {
            panic!("{error:?}")
        };
        assert_eq!((key.as_str(), one, other.as_str()), (name, &value.to_string(), here));
        assert_eq!([place, other_place], [&beside, &file].map(|path| path.display().to_string()).each_ref());
        errors.push(error);
    }
    insta::assert_snapshot!(messages(&errors, folder.path()));
}
