//! Tests of PaiNN: conformance that the distiller form cannot pass, and gradients with respect to weights.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use md_core::{Batch, Configuration, Element, Evaluation, System, Vec3};
use md_model::{
    Architecture, Checkpoint, CheckpointError, DistillerHyperparameters, Filters, PainnHyperparameters,
    Precision, Student, TrainableStudent, TrainingDevice, Weights,
};
use md_testkit::conformance::{self, Tolerances};
use proptest::prelude::*;
use serde_json::json;

use crate::{energy, evaluate, messages, molecule_and_lone_atom, system, within};

fn sizes(hidden_dim: u32, num_interactions: u32) -> PainnHyperparameters {
    let energies = [("H", -13.5), ("C", -1030.0), ("N", -1480.0), ("O", -2040.0)];
    PainnHyperparameters {
        hidden_dim,
        num_interactions,
        num_rbf: 6,
        cutoff: 4.0,
        reference_energies_ev: energies.map(|(s, e)| (s.to_owned(), e)).into(),
    }
}

fn checkpoint(h: &PainnHyperparameters, seed: u64) -> Checkpoint {
    Checkpoint::untrained(&Architecture::Painn(h.clone()), seed).unwrap()
}

fn molecules() -> Vec<System> {
    vec![
        molecule_and_lone_atom(),
        system("O H H", &[[0.0; 3], [0.9, 0.3, -0.1], [-0.4, 0.8, 0.2]]),
        system("N", &[[0.3, 0.2, 0.1]]),
        // Close enough for the repulsion to act.
        system("C N H", &[[0.0; 3], [0.8, 0.4, 0.3], [-0.3, 0.5, -0.4]]),
    ]
}

/// Every check of the suite, in both precisions, for both implementations, including those that the distiller form
/// fails (rotation, reflection, torque).
#[test]
fn painn_passes_conformance() {
    for h in [sizes(8, 3), sizes(20, 1)] {
        let checkpoint = checkpoint(&h, 5);
        for make in [Student::new, Student::reference] {
            let mut student = make(&checkpoint, Precision::F64).unwrap();
            conformance::potential(&mut student, &molecules(), &Tolerances::double()).unwrap().assert_all();
        }
        // Repulsion and reference energies are added in f64: a small displacement loses no digits, and where the
        // repulsion acts a large one would be inaccurate.
        let single = Tolerances { h_angstrom: 0.01, ..Tolerances::single() };
        let mut student = Student::new(&checkpoint, Precision::F32).unwrap();
        conformance::potential(&mut student, &molecules(), &single).unwrap().assert_all();
    }
}

/// The loops and the tensor operations are implemented independently.
#[test]
fn painn_native_and_reference_agree() {
    for (h, seed) in [(sizes(8, 3), 1), (sizes(17, 2), 2), (sizes(32, 1), 3)] {
        let checkpoint = checkpoint(&h, seed);
        for (precision, tolerance) in [(Precision::F64, 1e-11), (Precision::F32, 1e-4)] {
            let [a, b] = [Student::new, Student::reference]
                .map(|make| evaluate(&mut make(&checkpoint, precision).unwrap(), &molecules()));
            for (a, b) in a.energies.iter().zip(&b.energies) {
                assert!((a - b).abs() < tolerance, "{precision}: {a} and {b} eV");
            }
            for (a, b) in a.forces.iter().zip(&b.forces) {
                assert!((a - b).amax() < tolerance, "{precision}: {a} and {b} eV/Å");
            }
        }
    }
}

/// Twenty Bessel functions, as in the students: forces from splines are within 10⁻⁶ of those of the network, and the
/// gradient of their own energy.
#[test]
fn painn_tabulated_filters_match_exact_filters() {
    let h = PainnHyperparameters { num_rbf: 20, cutoff: 5.0, ..sizes(24, 3) };
    let checkpoint = checkpoint(&h, 4);
    let [mut exact, mut tabulated] = [Filters::Exact, Filters::Tabulated]
        .map(|filters| Student::with_filters(&checkpoint, Precision::F64, filters).unwrap());
    let (a, b) = (evaluate(&mut exact, &molecules()), evaluate(&mut tabulated, &molecules()));
    let largest = a.forces.iter().map(|f| f.amax()).fold(0.0, f64::max);
    let error = a.forces.iter().zip(&b.forces).map(|(a, b)| (a - b).amax()).fold(0.0, f64::max);
    assert!(error < 1e-6 * largest, "{error} of {largest}");
    assert!(error > 0.0, "the splines were not used");
    conformance::potential(&mut tabulated, &molecules(), &Tolerances::double()).unwrap().assert_all();
}

/// Bitwise, at the sizes of real students, for any systems in the same pass and any number of threads.
#[test]
fn student_batch_equals_systems_alone_at_full_size() {
    let painn = PainnHyperparameters { num_rbf: 20, cutoff: 5.0, ..sizes(112, 2) };
    let distiller = DistillerHyperparameters {
        hidden_dim: 128,
        num_interactions: 2,
        num_rbf: 20,
        cutoff: 5.0,
        max_z: 10,
        learnable_rbf: false,
    };
    let chain = |n: usize| {
        let at = |i: usize| Vec3::new(1.1 * i as f64, (0.7 * i as f64).sin(), (1.3 * i as f64).cos());
        System::new(vec![Element::C; n], (0..n).map(at).collect()).unwrap()
    };
    let systems: Vec<System> =
        molecules().into_iter().chain([1, 2, 5, 13, 40, 3, 7].map(chain)).chain(molecules()).collect();
    for architecture in [Architecture::Painn(painn), Architecture::Distiller(distiller)] {
        let checkpoint = Checkpoint::untrained(&architecture, 6).unwrap();
        for precision in [Precision::F32, Precision::F64] {
            for filters in [Filters::Tabulated, Filters::Exact] {
                let mut student = Student::with_filters(&checkpoint, precision, filters).unwrap();
                let alone: Vec<_> =
                    systems.iter().map(|s| evaluate(&mut student, std::slice::from_ref(s))).collect();
                let energies: Vec<f64> = alone.iter().map(|e| e.energies[0]).collect();
                let forces: Vec<Vec3> = alone.iter().flat_map(|e| e.forces.clone()).collect();
                for threads in [1, 2, 5] {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let together = pool.install(|| evaluate(&mut student, &systems));
                    let what = format!("{architecture:?} {precision} {filters:?}, {threads} threads");
                    assert_eq!(together.energies, energies, "{what}");
                    assert!(together.forces == forces, "{what}");
                }
            }
        }
    }
}

/// E and F are twice continuously differentiable: at the symmetric tetrahedron, where |v| = 0 and the distiller form
/// has a kink, for an atom that crosses the cutoff, and at the onset of the repulsion. One-sided second differences of
/// the energy agree on both sides up to O(h), and forces change continuously.
#[test]
fn painn_is_smooth_at_cutoff_symmetry_and_repulsion() {
    let mut student = Student::new(&checkpoint(&sizes(8, 3), 4), Precision::F64).unwrap();
    let a = 0.63;
    let methane = [[0.0; 3], [a, a, a], [a, -a, -a], [-a, a, -a], [-a, -a, a]].map(Vec3::from);
    let mut force = |elements: &str, x: &[Vec3]| {
        let positions: Vec<[f64; 3]> = x.iter().map(|&x| x.into()).collect();
        evaluate(&mut student, &[system(elements, &positions)]).forces
    };
    let h = 1e-4;
    // (molecule, its atoms, the atom that moves, direction)
    let covalent_radii = 0.76 + 0.66;
    let pair = |d: f64| vec![Vec3::zeros(), Vec3::new(d, 0.0, 0.0), Vec3::new(0.3, 1.0, 0.2)];
    let cases = [
        ("symmetric carbon", "C H H H H", methane.to_vec(), 0, Vec3::new(0.6, 0.0, 0.8)),
        ("symmetric hydrogen", "C H H H H", methane.to_vec(), 1, Vec3::new(0.0, 1.0, 0.0)),
        ("cutoff", "C O H", pair(4.0), 1, Vec3::x()),
        ("onset of the repulsion", "C O H", pair(covalent_radii), 1, Vec3::x()),
    ];
    for (name, elements, x, atom, direction) in cases {
        let mut at = |t: f64| {
            let mut moved = x.clone();
            moved[atom] += direction * t;
            force(elements, &moved)[atom].dot(&direction)
        };
        // One-sided slopes of the force, to second order in h.
        let here = at(0.0);
        let mut slope = |h: f64| (4.0 * (at(h / 2.0) - here) - (at(h) - here)) / h;
        let (left, right) = (slope(-h), slope(h));
        let scale = left.abs().max(right.abs());
        assert!((left - right).abs() < 1e-4 * scale.max(1.0), "{name}: {left} and {right} eV/Å²");
    }
}

#[test]
fn painn_ignores_atoms_beyond_cutoff() {
    let mut student = Student::new(&checkpoint(&sizes(8, 2), 6), Precision::F64).unwrap();
    let [c, o] = ["C", "O"].map(|s| energy(&mut student, &system(s, &[[0.0; 3]])));
    let apart = evaluate(&mut student, &[system("C O", &[[0.0; 3], [4.0001, 0.0, 0.0]])]);
    assert_eq!(apart.energies[0], c + o);
    assert_eq!(apart.forces, [Vec3::zeros(); 2]);
    let nearly = energy(&mut student, &system("C O", &[[0.0; 3], [3.9999, 0.0, 0.0]]));
    assert!((nearly - apart.energies[0]).abs() < 1e-9);
}

/// Overlapping atoms repel for any weights of the network.
#[test]
fn painn_repels_close_atoms() {
    let mut student = Student::new(&checkpoint(&sizes(8, 2), 7), Precision::F64).unwrap();
    for pair in ["H H", "C H", "O H", "C C", "N O", "O O"] {
        let mut at = |d: f64| energy(&mut student, &system(pair, &[[0.0; 3], [d, 0.0, 0.0]]));
        assert!(at(0.2) > at(0.4) + 5.0 && at(0.12) > at(0.2) + 20.0, "{pair}");
    }
}

/// A scalar function of energies and forces, and its derivative with respect to them.
fn loss(e: &Evaluation) -> (f64, Evaluation) {
    let energy = |n: usize, e: f64| (0.01 * (e + n as f64)).sin();
    let value = e.energies.iter().enumerate().map(|(n, &e)| energy(n, e)).sum::<f64>()
        + e.forces.iter().map(|f| (f.norm_squared() + 1.0).sqrt() + 0.3 * f.x).sum::<f64>();
    let by = Evaluation {
        energies: e.energies.iter().enumerate().map(|(n, e)| 0.01 * (0.01 * (e + n as f64)).cos()).collect(),
        forces: e
            .forces
            .iter()
            .map(|f| f / (f.norm_squared() + 1.0).sqrt() + Vec3::new(0.3, 0.0, 0.0))
            .collect(),
        stresses: None,
    };
    (value, by)
}

fn weight_gradient(
    h: &PainnHyperparameters,
    weights: &Weights,
    device: TrainingDevice,
    precision: Precision,
) -> Weights {
    let systems = molecules();
    let (batch, positions) = (Batch::new(&systems), Batch::gather_positions(&systems));
    let configuration = Configuration { batch: &batch, positions: &positions };
    let student = TrainableStudent::new(h, weights, device, precision).unwrap();
    student.weight_gradient(configuration, |e| loss(e).1).unwrap()
}

/// The same gradient from dual numbers, from the tape and from differences of the loss.
#[test]
fn painn_weight_gradient_matches_finite_differences() {
    let h = sizes(8, 3);
    let checkpoint = checkpoint(&h, 11);
    let weights = checkpoint.weights();
    let native = weight_gradient(&h, weights, TrainingDevice::Cpu, Precision::F64);
    let tape = weight_gradient(&h, weights, TrainingDevice::BurnCpu, Precision::F64);
    let single = weight_gradient(&h, weights, TrainingDevice::Cpu, Precision::F32);
    let value = |weights: Weights| {
        let mut student = Student::new(&checkpoint.with_weights(weights).unwrap(), Precision::F64).unwrap();
        loss(&evaluate(&mut student, &molecules())).0
    };
    for (name, tensor) in weights {
        assert_eq!(native[name].shape, tensor.shape, "{name}");
        let largest = tape[name].values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        assert!(largest > 1e-6, "{name}: a gradient of {largest} tests nothing");
        for (k, (a, b)) in native[name].values.iter().zip(&tape[name].values).enumerate() {
            assert!((a - b).abs() < 1e-10 * (1.0 + largest), "{name}[{k}]: {a} and {b}");
            let single = single[name].values[k];
            assert!((a - single).abs() < 1e-3 * (0.1 + largest), "{name}[{k}]: {a} and {single} in f32");
        }
        // A few elements of each tensor by differences.
        for k in (0..tensor.values.len()).step_by(tensor.values.len().div_ceil(5)) {
            let at = |step: f64| {
                let mut moved = weights.clone();
                moved.get_mut(name).unwrap().values[k] += step;
                value(moved)
            };
            let difference = |h: f64| (at(h) - at(-h)) / (2.0 * h);
            let (coarse, fine) = (difference(2e-4), difference(1e-4));
            let expected = (4.0 * fine - coarse) / 3.0;
            let error = native[name].values[k] - expected;
            assert!(error.abs() < 1e-7 * (1.0 + largest), "{name}[{k}]: {error} off {expected}");
        }
    }
}

#[test]
fn checkpoint_save_round_trips_painn() {
    let h = sizes(8, 2);
    let made = checkpoint(&h, 3);
    let folder = tempfile::tempdir().unwrap();
    made.save(folder.path()).unwrap();
    let loaded = Checkpoint::load(folder.path()).unwrap();
    assert_eq!(loaded, made);
    assert_eq!(loaded.architecture(), &Architecture::Painn(h));
    let symbols: Vec<&str> = loaded.elements().iter().map(|e| e.symbol()).collect();
    assert_eq!(symbols, ["H", "C", "N", "O"]);
}

/// The files of `save` describe the network twice, and `training.json` once more.
#[test]
fn checkpoint_load_refuses_contradictory_files() {
    let folder = tempfile::tempdir().unwrap();
    let [weights, config, record] =
        ["model.safetensors", "config.json", "training.json"].map(|name| folder.path().join(name));
    let made = checkpoint(&sizes(8, 2), 1);
    made.save(folder.path()).unwrap();
    let sound: serde_json::Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let load = || Checkpoint::load(folder.path());
    // Asserts that `config` is said to contradict the file `other`, and returns the message.
    let contradiction = |name: &str, value: &serde_json::Value, other: &Path| {
        let error = load().unwrap_err();
        let CheckpointError::In { source, .. } = &error else { panic!("{error:?}") };
        let CheckpointError::Contradiction { key, one, place, other_place, .. } = &**source else {
            panic!("{error:?}")
        };
        assert_eq!((key.as_str(), one), (name, &value.to_string()));
        assert_eq!([place, other_place], [&config, other].map(|path| path.display().to_string()).each_ref());
        messages(&[error], folder.path())
    };
    let refused = |key: &str, value: serde_json::Value, other: &Path| {
        let mut edited = sound.clone();
        edited.pointer_mut(&format!("/{}", key.replace('.', "/"))).unwrap().clone_from(&value);
        fs::write(&config, edited.to_string()).unwrap();
        let message = contradiction(key, &value, other);
        fs::write(&config, sound.to_string()).unwrap();
        message
    };
    // The header of the weights file.
    let cutoff = sound["cutoff"].as_f64().unwrap();
    let mut texts = vec![
        refused("cutoff", json!(cutoff - 0.02), &weights),
        refused("reference_energies_ev.H", json!(-1.0), &weights),
    ];

    // A record of these weights, as written by `mdproof train`.
    let h = sizes(8, 2);
    let mut training = json!({
        "name": "student", "model_sha256": made.sha256(), "parameters": made.parameter_count(),
        "reference_energies_ev": sound["reference_energies_ev"],
        "config": { "student": {
            "hidden_dim": 8, "num_interactions": 2, "num_rbf": h.num_rbf, "cutoff_angstrom": cutoff,
        } },
    });
    let write_record = |training: &serde_json::Value| fs::write(&record, training.to_string()).unwrap();
    write_record(&training);
    assert_eq!(load().unwrap(), made);
    let [last, ..] = sound["elements"].as_array().unwrap().as_slice() else { panic!() };
    fs::write(
        &config,
        {
            let mut c = sound.clone();
            c["elements"] = json!([last]);
            c
        }
        .to_string(),
    )
    .unwrap();
    assert_eq!(load().unwrap().elements().len(), 1, "a restriction");
    fs::write(&config, sound.to_string()).unwrap();

    // Weights from before the header contained it: the record is the only source.
    let bytes = fs::read(&weights).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    fs::write(&weights, safetensors::serialize(tensors.tensors(), None).unwrap()).unwrap();
    let error = load().unwrap_err();
    fs::remove_file(&record).unwrap();
    let now = load().unwrap();
    let CheckpointError::In { source, .. } = &error else { panic!("{error:?}") };
    let CheckpointError::OtherTraining { trained, place, found, weights: at } = &**source else {
        panic!("{error:?}")
    };
    assert_eq!([trained.as_str(), found], [made.sha256(), now.sha256()]);
    assert_eq!([place, at], [&record, &weights].map(|path| path.display().to_string()).each_ref());
    let text = messages(&[error], folder.path());
    texts.push(text.replace(made.sha256(), "TRAINED").replace(now.sha256(), "FOUND"));
    training["model_sha256"] = json!(now.sha256());
    write_record(&training);
    load().unwrap();
    texts.push(refused("cutoff", json!(cutoff - 0.02), &record));
    texts.push(refused("reference_energies_ev.H", json!(-1.0), &record));
    texts.push(refused("hidden_dim", json!(10), &record));
    let mut other = sound.clone();
    let energies = other["reference_energies_ev"].as_object_mut().unwrap();
    let energy = energies.remove("H").unwrap();
    energies.insert("F".to_owned(), energy);
    other["elements"] = json!(["F"]);
    fs::write(&config, other.to_string()).unwrap();
    texts.push(contradiction("elements", &json!(["F"]), &record));
    fs::write(&config, sound.to_string()).unwrap();

    // Without its checksum a record would vouch for any weights.
    let mut anonymous = training.clone();
    anonymous.as_object_mut().unwrap().remove("model_sha256");
    for record_of in
        [anonymous.to_string(), training.to_string().replace("{\"config\"", "{\"name\":\"x\",\"config\"")]
    {
        fs::write(&record, record_of).unwrap();
        let error = load().unwrap_err();
        assert!(matches!(within(&record, &error), CheckpointError::Record { .. }), "{error:?}");
        texts.push(messages(&[error], folder.path()));
    }
    write_record(&training);
    for (key, value) in [("elements", None), ("activation", Some(json!("silu")))] {
        let mut edited = sound.clone();
        match value {
            Some(value) => edited[key] = value,
            None => drop(edited.as_object_mut().unwrap().remove(key)),
        }
        fs::write(&config, edited.to_string()).unwrap();
        let error = load().unwrap_err();
        let problem = within(&weights, &error);
        assert!(
            matches!(problem, CheckpointError::NoElements { .. } | CheckpointError::UnknownKey { .. }),
            "{error:?}"
        );
        texts.push(messages(&[error], folder.path()));
        fs::write(&config, sound.to_string()).unwrap();
    }

    fs::write(&record, "{").unwrap();
    let error = load().unwrap_err();
    assert!(matches!(within(&record, &error), CheckpointError::Record { .. }), "{error:?}");
    texts.push(messages(&[error], folder.path()));
    // A file of another program with this name.
    fs::write(&record, "{\"epochs\": 3}").unwrap();
    load().unwrap();
    insta::assert_snapshot!(texts.join("\n"));
}

/// The sizes of the first campaign, within 5 % of 427K, 77K and 21K.
#[test]
fn painn_parameter_counts_match_published_sizes() {
    for (hidden_dim, num_rbf, expected) in [(112, 20, 416_977), (48, 16, 80_401), (24, 12, 21_289)] {
        let h = PainnHyperparameters { num_rbf, ..sizes(hidden_dim, 3) };
        assert_eq!(checkpoint(&h, 1).parameter_count(), expected);
    }
}

#[test]
fn painn_rejects_bad_hyperparameters() {
    let refused = |change: fn(&mut PainnHyperparameters)| {
        let mut h = sizes(8, 2);
        change(&mut h);
        match Checkpoint::untrained(&Architecture::Painn(h), 1) {
            Err(error @ CheckpointError::Hyperparameter { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let texts = [
        refused(|h| h.hidden_dim = 3),
        refused(|h| h.num_interactions = 0),
        refused(|h| h.num_rbf = 0),
        refused(|h| (h.hidden_dim, h.num_interactions) = (65_536, 1000)),
        refused(|h| h.cutoff = 0.0),
        refused(|h| h.reference_energies_ev = BTreeMap::new()),
        refused(|h| _ = h.reference_energies_ev.insert("Xx".to_owned(), 0.0)),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Any number of atoms at any positions: dual and plain numbers agree with the tape.
    #[test]
    fn painn_agrees_with_reference_on_random_clusters(
        atoms in prop::collection::vec((0..4usize, prop::array::uniform3(-2.5..2.5f64)), 1..12),
        seed in 0..100u64,
    ) {
        let symbols: Vec<&str> = atoms.iter().map(|(k, _)| ["H", "C", "N", "O"][*k]).collect();
        let positions: Vec<[f64; 3]> = atoms.iter().map(|(_, x)| *x).collect();
        let system = system(&symbols.join(" "), &positions);
        let checkpoint = checkpoint(&sizes(12, 2), seed);
        let [a, b] = [Student::new, Student::reference].map(|make| {
            evaluate(&mut make(&checkpoint, Precision::F64).unwrap(), std::slice::from_ref(&system))
        });
        let scale = 1.0 + b.forces.iter().map(Vec3::amax).fold(0.0, f64::max);
        prop_assert!((a.energies[0] - b.energies[0]).abs() < 1e-10 * scale);
        for (a, b) in a.forces.iter().zip(&b.forces) {
            prop_assert!((a - b).amax() < 1e-10 * scale);
        }
    }
}
