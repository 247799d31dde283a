//! Typical files of `torch.save`: with several sets of weights, at other keys, and with other objects.

use std::fs;
use std::io::{Read, Write};

use md_model::{
    Architecture, Checkpoint, CheckpointError, DistillerHyperparameters, TorchError, WeightTensor,
};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::distiller::data;
use crate::saved::{
    BESIDE, File, Object, SIZES, config, dict, listed, of_torch, saved, state, student, trained,
};
use crate::{messages, within};

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
        ("optimal", "optimal", state(a, "")),
        ("ensemble", "ensemble.1", Object::Numbered(vec![Object::Int(7), state(a, "")])),
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
        let CheckpointError::SeveralSets { keys } = within(file.path(""), &several) else {
            panic!("{several}")
        };
        assert_eq!(*keys, ["model_state_dict", choice]);

        let found = [file.load("#model_state_dict"), file.load(&format!("#{choice}"))].map(Result::unwrap);
        assert!(found[0].weights() == r, "{choice}: the raw weights");
        assert!(found[1].weights() == a, "{choice}: the average");
        // One file with two networks.
        assert_ne!(found[0].sha256(), found[1].sha256());
        let none = file.load("#emma").unwrap_err();
        let CheckpointError::NoSuchSet { key, keys } = within(file.path(""), &none) else { panic!("{none}") };
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
    let problem = within(file.path(""), &several);
    assert!(matches!(problem, CheckpointError::SeveralSets { .. }), "{several:?}");
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
        (
            "opt",
            dict([
                ("state", Object::Numbered(raw.weights().values().map(moments).collect())),
                ("param_groups", Object::List(vec![dict([("lr", Object::Float(1e-3))])])),
            ]),
        ),
        ("teacher", state(teacher.weights(), "")),
        ("loss", Object::Tensor(WeightTensor { shape: vec![], values: vec![0.5] })),
        ("config", config()),
    ]));
    let loaded = file.load("").unwrap();
    assert!(loaded.weights() == raw.weights());
    // There is only one set, so selecting it changes nothing.
    assert!(file.load("#model_state_dict").unwrap() == loaded);
    let none = file.load("#teacher").unwrap_err();
    assert!(matches!(within(file.path(""), &none), CheckpointError::NoSuchSet { .. }), "{none:?}");
    let none = messages(&[none], file.0.path());

    let folder = tempfile::tempdir().unwrap();
    raw.save(folder.path()).unwrap();
    let chosen = format!("{}#model_state_dict", folder.path().display());
    let other_format = Checkpoint::load(chosen).unwrap_err();
    let weights = folder.path().join("model.safetensors");
    assert!(matches!(within(weights, &other_format), CheckpointError::NoSuchSet { .. }), "{other_format:?}");
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
    let CheckpointError::PartOfFile { name, .. } = within(file.path(""), &missing) else {
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
    fs::write(file.0.path().join("config.json"), BESIDE).unwrap();
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

/// One dictionary with the tensors of a network and of its average, as a module with both returns it.
#[test]
fn load_asks_which_of_several_networks_in_one_dictionary() {
    let (raw, average) = (student(1), student(2));
    let both = |raw_prefix: &str, average_prefix: &str| {
        let (Object::Dict(mut entries), Object::Dict(more)) =
            (state(raw.weights(), raw_prefix), state(&trained(average.weights()), average_prefix))
        else {
            panic!()
        };
        entries.extend(more);
        Object::Dict(entries)
    };
    let steps = dict([("steps", Object::Int(3))]);
    let mut texts = Vec::new();
    for (file, set) in [
        (dict([("state_dict", both("model.", "ema.module.")), ("config", config())]), "state_dict."),
        (
            dict([("steps", steps), ("model", both("net.model.", "net.ema.")), ("config", config())]),
            "model.net.",
        ),
        (both("model.", "ema."), ""),
    ] {
        let file = File::new(&file);
        fs::write(file.0.path().join("config.json"), BESIDE).unwrap();
        let several = file.load("").unwrap_err();
        let CheckpointError::SeveralSets { keys } = within(file.path(""), &several) else {
            panic!("{several}")
        };
        assert_eq!(*keys, [format!("{set}ema"), format!("{set}model")]);
        assert!(file.load(&format!("#{set}model")).unwrap().weights() == raw.weights());
        // The average has no basis, which is not trained; the network has.
        let missing = file.load(&format!("#{set}ema")).unwrap_err();
        let CheckpointError::MissingTensor { name, .. } = within(file.path(""), &missing) else {
            panic!("{missing}")
        };
        assert_eq!(name, "rbf.centers");
        let none = file.load(&format!("#{set}emma")).unwrap_err();
        assert!(matches!(within(file.path(""), &none), CheckpointError::NoSuchSet { .. }), "{none}");
        texts.push(messages(&[several, none], file.0.path()));
    }

    let folder = tempfile::tempdir().unwrap();
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = [("model.", &raw), ("ema.", &average)]
        .iter()
        .flat_map(|(prefix, checkpoint)| {
            checkpoint.weights().iter().map(move |(name, t)| {
                (
                    format!("{prefix}{name}"),
                    t.shape.clone(),
                    t.values.iter().flat_map(|x| x.to_le_bytes()).collect(),
                )
            })
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap()));
    let path = folder.path().join("both.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    fs::write(folder.path().join("config.json"), BESIDE).unwrap();
    let load = |choice: &str| Checkpoint::load(format!("{}{choice}", path.display()));
    let several = load("").unwrap_err();
    assert!(matches!(within(&path, &several), CheckpointError::SeveralSets { .. }), "{several}");
    let found = ["#model", "#ema"].map(|choice| load(choice).unwrap());
    assert!(found[0].weights() == raw.weights() && found[1].weights() == average.weights());
    assert_ne!(found[0].sha256(), found[1].sha256());
    texts.push(messages(&[several], folder.path()));
    insta::assert_snapshot!(texts.join("\n"));
}

/// What is chosen is a network of its own, not a mixture of two.
#[test]
fn torch_load_refuses_incomplete_average() {
    let (raw, average) = (student(1), student(2));
    let mut some = average.weights().clone();
    some.remove("energy_head.0.bias");
    let file = File::new(&dict([
        ("model_state_dict", state(raw.weights(), "")),
        ("ema", state(&some, "")),
        ("listed", listed(&some)),
        ("config", config()),
    ]));
    let [error, of_list] = ["ema", "listed"].map(|set| {
        let error = file.load(&format!("#{set}")).unwrap_err();
        let CheckpointError::IncompleteSet { key, names } = within(file.path(""), &error) else {
            panic!("{error}")
        };
        assert_eq!((key.as_str(), names), (set, &vec!["energy_head.0.bias".to_owned()]));
        error
    });
    // The network is a part of what was saved.
    let Object::Dict(mut entries) = state(raw.weights(), "model.") else { panic!() };
    entries
        .push(("loss.weight".to_owned(), Object::Tensor(WeightTensor { shape: vec![], values: vec![1.0] })));
    let part = File::new(&dict([("state_dict", Object::Dict(entries)), ("config", config())]));
    let of_file = part.load("").unwrap_err();
    let CheckpointError::PartOfFile { key, .. } = within(part.path(""), &of_file) else {
        panic!("{of_file}")
    };
    assert_eq!(key, "state_dict.model");
    assert!(part.load("#state_dict.model").unwrap().weights() == raw.weights());

    let Object::Dict(mut entries) = state(raw.weights(), "") else { panic!() };
    for (name, _) in &mut entries {
        *name = name.replace("interactions.", "interactions._orig_mod.");
    }
    let compiled = File::new(&dict([("state_dict", Object::Dict(entries)), ("config", config())]));
    let renamed = compiled.load("").unwrap_err();
    assert!(matches!(within(compiled.path(""), &renamed), CheckpointError::OtherName { .. }), "{renamed}");
    insta::assert_snapshot!(
        [
            messages(&[error, of_list], file.0.path()),
            messages(&[of_file], part.0.path()),
            messages(&[renamed], compiled.0.path()),
        ]
        .join("\n")
    );
}

/// What was assumed in loading is known to those who use the network.
#[test]
fn assumptions_name_all_that_files_do_not_state() {
    let (raw, average) = (student(1), student(2));
    let Object::Dict(mut hyperparameters) = config() else { panic!() };
    hyperparameters.push(("lr".to_owned(), Object::Float(1e-3)));
    let lightning = dict([
        ("epoch", Object::Int(3)),
        ("pytorch-lightning_version", Object::Str("2.5.0")),
        ("state_dict", state(raw.weights(), "model.")),
        ("hyper_parameters", Object::Dict(hyperparameters)),
        ("callbacks", dict([("EMA", dict([("ema_weights", listed(&trained(average.weights())))]))])),
    ]);
    let file = File::new(&lightning);
    let of = |checkpoint: &Checkpoint| checkpoint.assumptions().join("\n");
    let raw_chosen = file.load("#state_dict").unwrap();
    let average_chosen = file.load("#callbacks.EMA.ema_weights").unwrap();
    assert!(raw_chosen.weights() == raw.weights() && average_chosen.weights() == average.weights());
    // A checkpoint of this program states everything.
    let folder = tempfile::tempdir().unwrap();
    raw.save(folder.path()).unwrap();
    assert_eq!(Checkpoint::load(folder.path()).unwrap().assumptions(), [""; 0]);
    insta::assert_snapshot!([of(&raw_chosen), of(&average_chosen)].join("\n\n"));
}

/// A nested configuration has the keys elsewhere.
#[test]
fn torch_load_lists_keys_of_nested_config() {
    let nested = dict([("model", config()), ("seed", Object::Int(3))]);
    let file = File::new(&dict([("model_state_dict", state(student(1).weights(), "")), ("config", nested)]));
    let error = file.load("").unwrap_err();
    let CheckpointError::MissingKeys { missing, found } = within(file.path(""), &error) else {
        panic!("{error}")
    };
    assert_eq!((missing.len(), found.join(" ").as_str()), (5, "model seed"));
}

/// A folder that was filled twice.
#[test]
fn load_refuses_folder_with_two_networks() {
    let folder = tempfile::tempdir().unwrap();
    let [safetensors, torch] = ["model.safetensors", "best_model.pt"].map(|name| folder.path().join(name));
    student(1).save(folder.path()).unwrap();
    let write = |seed: u64| {
        let file = dict([("model_state_dict", state(student(seed).weights(), "")), ("config", config())]);
        fs::write(&torch, saved(&file)).unwrap();
    };
    write(1);
    assert!(Checkpoint::load(folder.path()).unwrap().weights() == student(1).weights());
    write(2);
    let mut errors = vec![Checkpoint::load(folder.path()).unwrap_err()];
    fs::write(&torch, "version https://git-lfs.github.com/spec/v1\n").unwrap();
    errors.push(Checkpoint::load(folder.path()).unwrap_err());
    for error in &errors {
        assert!(matches!(within(folder.path(), error), CheckpointError::TwoFiles { .. }), "{error}");
    }
    insta::assert_snapshot!(messages(&errors, folder.path()));
    write(2);
    assert!(Checkpoint::load(&safetensors).unwrap().weights() == student(1).weights());
    assert!(Checkpoint::load(&torch).unwrap().weights() == student(2).weights());
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
    assert!(matches!(**source, CheckpointError::MissingKeys { .. }), "{no_cutoff:?}");
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
