//! Tests of the distiller form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use md_core::{
    Batch, Cell, Configuration, Element, Evaluation, Mat3, Potential, PotentialError, Request, System, Vec3,
};
use md_model::{
    Architecture, Checkpoint, CheckpointError, DistillerHyperparameters, Filters, Precision, Student,
};
use md_testkit::conformance::{self, Tolerances};
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{energy, evaluate, messages, molecule_and_lone_atom, system, within};

/// Returns a file of the test data of this crate.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Returns the folder of third-party checkpoints next to the repository, which is optional.
fn shared_checkpoints(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/checkpoints");
    let exists = folder.is_dir();
    if !exists {
        println!("{test} SKIPPED: {} does not exist", folder.display());
    }
    exists.then_some(folder)
}

fn vec3(x: &Value) -> Vec3 {
    Vec3::from_iterator(x.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()))
}

/// Energies and forces of PyTorch for `original` and `tiny` (their README).
#[test]
fn distiller_agrees_with_pytorch() {
    let Some(folder) = shared_checkpoints("distiller_agrees_with_pytorch") else { return };
    let reference: Value =
        serde_json::from_slice(&fs::read(folder.join("energy_force_reference.json")).unwrap()).unwrap();
    let cases = reference["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let numbers = case["numbers"].as_array().unwrap().iter();
        let elements =
            numbers.map(|z| Element::from_atomic_number(z.as_i64().unwrap()).unwrap()).collect::<Vec<_>>();
        let positions = case["positions"].as_array().unwrap().iter().map(vec3).collect();
        let system = System::new(elements, positions).unwrap();
        let expected: Vec<Vec3> = case["forces_f64"].as_array().unwrap().iter().map(vec3).collect();
        let checkpoint = Checkpoint::load(folder.join(case["model"].as_str().unwrap())).unwrap();
        for (precision, tolerance) in [(Precision::F64, 1e-8), (Precision::F32, 1e-4)] {
            let mut student = Student::new(&checkpoint, precision).unwrap();
            let found = evaluate(&mut student, std::slice::from_ref(&system));
            let energy_error = (found.energies[0] - case["energy_f64"].as_f64().unwrap()).abs();
            let force_error =
                found.forces.iter().zip(&expected).map(|(f, e)| (f - e).amax()).fold(0.0, f64::max);
            println!(
                "{} {} {precision:?}: {energy_error:.1e} eV {force_error:.1e} eV/Å",
                case["model"], case["molecule"]
            );
            assert!(energy_error < tolerance, "energy off by {energy_error} eV");
            assert!(force_error < tolerance, "force off by {force_error} eV/Å");
        }
    }
}

/// Third-party checkpoints: published sizes, and the same content in two formats.
#[test]
fn checkpoint_loads_alike_from_both_formats() {
    let Some(folder) = shared_checkpoints("checkpoint_loads_alike_from_both_formats") else { return };
    for (name, parameters) in [("original", 427_292), ("tiny", 77_203), ("ultra-tiny", 21_459)] {
        let safetensors = Checkpoint::load(folder.join(name)).unwrap();
        let torch = Checkpoint::load(folder.join(name).join("best_model.pt")).unwrap();
        assert_eq!((safetensors.parameter_count(), torch.parameter_count()), (parameters, parameters));
        assert_eq!(safetensors.architecture(), torch.architecture());
        assert_eq!(safetensors.weights(), torch.weights());
        assert_ne!(safetensors.sha256(), torch.sha256());
    }
}

/// A small network with random weights, in a folder that tests may damage.
struct RandomCheckpoint {
    folder: TempDir,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    config: Value,
}

impl RandomCheckpoint {
    fn new(seed: u64) -> Self {
        let sizes = DistillerHyperparameters {
            hidden_dim: 16,
            num_interactions: 3,
            num_rbf: 6,
            cutoff: 4.0,
            max_z: 9,
            learnable_rbf: false,
        };
        let checkpoint = Checkpoint::untrained(&Architecture::Distiller(sizes), seed).unwrap();
        let tensors =
            checkpoint.weights().iter().map(|(n, t)| (n.clone(), (t.shape.clone(), t.values.clone())));
        let config = json!({
            "model_type": "painn_student_mlff_distiller", "hidden_dim": 16, "num_interactions": 3,
            "num_rbf": 6, "cutoff": 4.0, "max_z": 9,
        });
        RandomCheckpoint { folder: tempfile::tempdir().unwrap(), tensors: tensors.collect(), config }
    }

    fn write(&self) {
        let bytes: BTreeMap<&str, Vec<u8>> = self
            .tensors
            .iter()
            .map(|(name, (_, values))| (name.as_str(), values.iter().flat_map(|x| x.to_le_bytes()).collect()))
            .collect();
        let views = self.tensors.iter().map(|(name, (shape, _))| {
            (name, TensorView::new(Dtype::F64, shape.clone(), &bytes[name.as_str()]).unwrap())
        });
        let file = safetensors::serialize(views, None).unwrap();
        fs::write(self.folder.path().join("model.safetensors"), file).unwrap();
        fs::write(self.folder.path().join("config.json"), self.config.to_string()).unwrap();
    }

    fn load(&self) -> Result<Checkpoint, CheckpointError> {
        self.write();
        Checkpoint::load(self.folder.path())
    }

    fn student(&self, precision: Precision) -> Student {
        Student::new(&self.load().unwrap(), precision).unwrap()
    }
}

/// The conformance suite of every potential, except the checks that the distiller form cannot pass: its 3x3 matrices
/// mix Cartesian components, so rotation or reflection of a molecule changes its energy, and there is a torque on it.
#[test]
fn distiller_passes_conformance_but_for_rotation() {
    const ROTATION: [&str; 5] =
        ["rotation_energy", "rotation_force", "reflection_energy", "reflection_force", "net_torque"];
    let systems =
        [molecule_and_lone_atom(), system("O H H", &[[0.0; 3], [0.9, 0.3, -0.1], [-0.4, 0.8, 0.2]])];
    let failures = |student: &mut Student, tolerances: &Tolerances| {
        let report = conformance::potential(student, &systems, tolerances).unwrap();
        println!("{report}");
        report.failures().iter().map(|check| check.id).collect::<Vec<_>>()
    };
    let mut student = RandomCheckpoint::new(5).student(Precision::F64);
    assert_eq!(failures(&mut student, &Tolerances::double()), ROTATION);

    // With multiples of the identity instead, no check fails.
    let mut isotropic = RandomCheckpoint::new(5);
    for (_, (_, values)) in isotropic.tensors.iter_mut().filter(|(name, _)| name.ends_with("mixing_matrix")) {
        *values = vec![0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5];
    }
    let none: [&str; 0] = [];
    assert_eq!(failures(&mut isotropic.student(Precision::F64), &Tolerances::double()), none);

    let Some(folder) = shared_checkpoints("rotation of public checkpoints") else { return };
    for name in ["original", "tiny"] {
        let mut student =
            Student::new(&Checkpoint::load(folder.join(name)).unwrap(), Precision::F64).unwrap();
        assert_eq!(failures(&mut student, &Tolerances::double()), ROTATION, "{name}");
    }
}

/// The distiller form in plain Python (tests/data/make_torch_fixture.py prints this number), which agrees with PyTorch
/// to 2e-15 eV on `tiny`.
#[test]
fn distiller_energy_agrees_with_plain_python() {
    let checkpoint = Checkpoint::load(data("distiller.pt")).unwrap();
    let positions = [[0.0, 0.1, 0.2], [0.9, 0.3, -0.4], [-0.5, 0.8, -0.6], [3.5, 2.5, 1.5]];
    let water = system("O H H H", &positions);
    for (precision, tolerance) in [(Precision::F64, 1e-13), (Precision::F32, 1e-6)] {
        let mut student = Student::new(&checkpoint, precision).unwrap();
        let error = energy(&mut student, &water) - -0.5491551884074855;
        assert!(error.abs() < tolerance, "{precision:?}: off by {error} eV");
    }
}

/// Sixth-order central differences: two Richardson steps from the second-order formula.
#[test]
fn distiller_forces_match_finite_differences() {
    for seed in 0..3 {
        let mut student = RandomCheckpoint::new(seed).student(Precision::F64);
        let system = molecule_and_lone_atom();
        let forces = evaluate(&mut student, std::slice::from_ref(&system)).forces;
        let mut slope = |atom: usize, a: usize, h: f64| {
            let mut at = |x: f64| {
                let mut positions = system.positions().to_vec();
                positions[atom][a] += x;
                energy(&mut student, &system.clone().with_positions(positions).unwrap())
            };
            (at(h) - at(-h)) / (2.0 * h)
        };
        let mut largest = 0.0f64;
        for atom in 0..system.n_atoms() {
            for a in 0..3 {
                let [d0, d1, d2] = [1e-3, 5e-4, 2.5e-4].map(|h| slope(atom, a, h));
                let [r0, r1] = [(4.0 * d1 - d0) / 3.0, (4.0 * d2 - d1) / 3.0];
                let error = forces[atom][a] + (16.0 * r1 - r0) / 15.0;
                assert!(error.abs() < 1e-10, "seed {seed}, atom {atom}, component {a}: off by {error} eV/Å");
                largest = largest.max(forces[atom][a].abs());
            }
        }
        assert!(largest > 0.01, "forces of {largest} eV/Å at most test nothing");
        assert_eq!(forces[4], Vec3::zeros(), "nothing acts on the lone atom");
        let net: Vec3 = forces.iter().sum();
        assert!(net.amax() < 1e-13, "net force {net}");
    }
}

#[test]
fn checkpoint_save_round_trips_distiller() {
    let folder = tempfile::tempdir().unwrap();
    let untrained = RandomCheckpoint::new(3).load().unwrap();
    untrained.save(folder.path()).unwrap();
    let loaded = Checkpoint::load(folder.path()).unwrap();
    assert_eq!((loaded.weights(), loaded.architecture()), (untrained.weights(), untrained.architecture()));
    assert_eq!(loaded.elements(), untrained.elements());

    let again = tempfile::tempdir().unwrap();
    loaded.save(again.path()).unwrap();
    assert_eq!(Checkpoint::load(again.path()).unwrap(), loaded, "checksum included");
}

#[test]
fn distiller_f32_is_close_to_f64() {
    let system = molecule_and_lone_atom();
    let (mut squared, mut largest_error) = (0.0, 0.0f64);
    for seed in 0..8 {
        let checkpoint = RandomCheckpoint::new(seed);
        let [single, double] = [Precision::F32, Precision::F64]
            .map(|p| evaluate(&mut checkpoint.student(p), std::slice::from_ref(&system)));
        squared += double.energies[0].powi(2) / 8.0;
        largest_error = largest_error.max((single.energies[0] - double.energies[0]).abs());
        println!("{} {}", double.energies[0], single.energies[0] - double.energies[0]);
        let largest = double.forces.iter().map(Vec3::amax).fold(0.0, f64::max);
        for (f32, f64) in single.forces.iter().zip(&double.forces) {
            let error = (f32 - f64).amax() / largest;
            assert!(error < 1e-5, "force off by {error} of the largest: {f32} and {f64}");
        }
    }
    // Relative to a typical energy: a single one may be small because its atoms cancel.
    let error = largest_error / squared.sqrt();
    assert!(error > 0.0 && error < 1e-6, "energy off by {error} of a typical one");
}

#[test]
fn distiller_lone_atoms_have_own_energies() {
    for precision in [Precision::F32, Precision::F64] {
        let mut student = RandomCheckpoint::new(1).student(precision);
        let single = |symbol| system(symbol, &[[1.0, 2.0, 3.0]]);
        let apart = system("C O H", &[[0.0; 3], [4.001, 0.0, 0.0], [0.0, 50.0, 0.0]]);
        let found = evaluate(&mut student, &[single("C"), single("O"), single("H"), apart]);
        let expected: f64 = found.energies[..3].iter().sum();
        assert_eq!(found.energies[3], expected);
        assert!(found.forces.iter().all(|f| *f == Vec3::zeros()));
        assert_ne!(found.energies[0], found.energies[1]);
    }
}

/// Bitwise, for one or several threads, with systems of other sizes in the batch, with or without forces.
#[test]
fn distiller_batch_equals_systems_alone() {
    let systems = [
        molecule_and_lone_atom(),
        system("O H H", &[[0.0; 3], [0.9, 0.3, 0.0], [-0.3, 0.9, 0.1]]),
        system("H", &[[0.0; 3]]),
        system("N N", &[[0.0; 3], [0.0, 0.0, 1.1]]),
    ];
    for precision in [Precision::F32, Precision::F64] {
        let mut student = RandomCheckpoint::new(2).student(precision);
        let alone: Vec<Evaluation> =
            systems.iter().map(|s| evaluate(&mut student, std::slice::from_ref(s))).collect();
        let energies: Vec<f64> = alone.iter().map(|e| e.energies[0]).collect();
        let forces: Vec<Vec3> = alone.iter().flat_map(|e| e.forces.clone()).collect();
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let together = pool.install(|| evaluate(&mut student, &systems));
            assert_eq!((&together.energies, &together.forces), (&energies, &forces), "{threads} threads");
        }
        let (batch, positions) = (Batch::new(&systems), Batch::gather_positions(&systems));
        let mut out = Evaluation::default();
        let configuration = Configuration { batch: &batch, positions: &positions };
        student.evaluate(configuration, Request::ENERGY, &mut out).unwrap();
        assert_eq!((&out.energies, out.forces.len()), (&energies, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn distiller_is_invariant_to_translation_and_order(
        shift in prop::array::uniform3(-20.0..20.0f64),
        order in Just([0usize, 1, 2, 3, 4]).prop_shuffle(),
        seed in 0..1000u64,
    ) {
        let mut student = RandomCheckpoint::new(seed).student(Precision::F64);
        let system = molecule_and_lone_atom();
        let elements = order.iter().map(|&i| system.elements()[i]).collect();
        let positions = order.iter().map(|&i| system.positions()[i] + Vec3::from(shift)).collect();
        let other = System::new(elements, positions).unwrap();
        let found = evaluate(&mut student, &[system, other]);
        let (here, there) = found.forces.split_at(5);
        prop_assert!((found.energies[0] - found.energies[1]).abs() < 1e-12);
        for (k, &i) in order.iter().enumerate() {
            prop_assert!((here[i] - there[k]).amax() < 1e-12);
        }
    }
}

#[test]
fn student_check_rejects_unsupported_requests() {
    let mut random = RandomCheckpoint::new(3);
    random.config["elements"] = json!(["O", "H"]);
    let mut student = random.student(Precision::F64);
    let check = |student: &Student, system: System, request| student.check(&Batch::new(&[system]), request);
    let co = system("O C", &[[0.0; 3], [1.1, 0.0, 0.0]]);
    let carbon = check(&student, co.clone(), Request::FORCES).unwrap_err();
    let oh = system("O H", &[[0.0; 3], [0.97, 0.0, 0.0]]);
    check(&student, oh.clone(), Request::FORCES).unwrap();
    let stress = check(&student, oh.clone(), Request::STRESS).unwrap_err();
    let cell = Cell::new(Mat3::identity() * 10.0, [true; 3]).unwrap();
    let periodic = check(&student, oh.clone().with_cell(cell), Request::FORCES).unwrap_err();
    for error in [&stress, &periodic] {
        assert!(matches!(error, PotentialError::Unsupported { .. }), "{error:?}");
    }

    // Without a list, all elements with an embedding: up to fluorine here.
    random.config.as_object_mut().unwrap().remove("elements");
    let any = random.student(Precision::F64);
    check(&any, co, Request::FORCES).unwrap();
    let neon = check(&any, system("Ne", &[[0.0; 3]]), Request::FORCES).unwrap_err();
    for error in [&carbon, &neon] {
        assert!(matches!(error, PotentialError::UnknownElement { .. }), "{error:?}");
    }
    let errors = [carbon, stress, periodic, neon];
    insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));

    // A NaN position gives NaN, only in its own system.
    let batch = Batch::new(&[oh.clone(), oh]);
    let x = Vec3::new(0.97, 0.0, 0.0);
    let positions = [Vec3::zeros(), Vec3::new(f64::NAN, 0.0, 0.0), Vec3::zeros(), x];
    let mut out = Evaluation::default();
    student
        .evaluate(Configuration { batch: &batch, positions: &positions }, Request::FORCES, &mut out)
        .unwrap();
    assert!(out.energies[0].is_nan() && out.forces[0].x.is_nan() && out.forces[1].z.is_nan());
    assert!(out.energies[1].is_finite() && out.forces[3].x.is_finite());
}

/// A file in the layout of PyTorch, with every number format and a transposed matrix (make_torch_fixture.py).
#[test]
fn checkpoint_from_pytorch_file_has_every_number() {
    let checkpoint = Checkpoint::load(data("distiller.pt")).unwrap();
    let Architecture::Distiller(h) = checkpoint.architecture() else {
        panic!("{:?}", checkpoint.architecture())
    };
    assert_eq!((h.hidden_dim, h.num_interactions, h.num_rbf, h.max_z), (8, 2, 4, 8));
    assert_eq!((checkpoint.cutoff_angstrom(), h.learnable_rbf), (4.5, false));
    assert_eq!(checkpoint.weights().len(), 27);
    for (name, tensor) in checkpoint.weights() {
        for (i, &value) in tensor.values.iter().enumerate() {
            let expected = match name.as_str() {
                "rbf.widths" => 1.0,
                "rbf.centers" => 1.5 * i as f64,
                _ => (((i + 3 * name.len()) % 16) as f64 - 8.0) / 16.0,
            };
            assert_eq!(value, expected, "{name}[{i}]");
        }
    }
    // sha256sum distiller.pt
    let sha256 = "9ac2a2cfd0256419bacf47b4ada4c21d8b7f34265e4ed9d2b02b3a57a44b6622";
    assert_eq!(checkpoint.sha256(), sha256);

    // A folder with only best_model.pt.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(data("distiller.pt"), folder.path().join("best_model.pt")).unwrap();
    assert_eq!(Checkpoint::load(folder.path()).unwrap(), checkpoint);
}

/// The centres of an untrained basis end at the cutoff, in any storage format.
#[test]
fn checkpoint_rejects_cutoff_against_basis() {
    let as_f32 = |x: f64| f64::from(x as f32);
    let as_f16 = |x: f64| half::f16::from_f64(x).to_f64();
    let as_bf16 = |x: f64| half::bf16::from_f64(x).to_f64();
    let formats: [fn(f64) -> f64; 4] = [|x| x, as_f32, as_f16, as_bf16];
    // From 0 and from elsewhere; a cutoff that f32 cannot represent.
    for (start, cutoff, wrong) in [(0.0, 5.0, 4.98), (0.5, 5.0, 5.02), (0.0, 4.7, 4.6), (0.8, 6.0, 5.0)] {
        for (n, format) in formats.into_iter().enumerate() {
            let mut random = RandomCheckpoint::new(0);
            for (_, values) in random.tensors.values_mut() {
                values.iter_mut().for_each(|x| *x = format(*x));
            }
            let centre = |k: usize| format(start + k as f64 * (cutoff - start) / 5.0);
            random.tensors.get_mut("rbf.centers").unwrap().1 = (0..6).map(centre).collect();
            random.config["cutoff"] = json!(cutoff);
            random.load().unwrap();
            random.config["cutoff"] = json!(wrong);
            let error = random.load().unwrap_err().to_string();
            let [weights, config] =
                ["model.safetensors", "config.json"].map(|name| random.folder.path().join(name));
            let expected = format!(
                "cutoff is {wrong} in {}, but {} in {} (where the even division of rbf.centers ends)",
                config.display(),
                format(cutoff),
                weights.display()
            );
            assert!(error.contains(&expected), "format {n}: '{expected}' in '{error}'");
            // Trained centres may be anywhere.
            random.tensors.get_mut("rbf.centers").unwrap().1[2] += 0.1;
            random.load().unwrap();
        }
    }
}

#[test]
fn parameter_count_includes_learnable_basis() {
    let mut random = RandomCheckpoint::new(0);
    let fixed = random.load().unwrap().parameter_count();
    random.config["learnable_rbf"] = json!(true);
    assert_eq!(random.load().unwrap().parameter_count(), fixed + 12);
    random.config["num_parameters"] = json!(fixed + 12);
    random.load().unwrap();
}

/// Modifications of a valid checkpoint.
#[test]
fn checkpoint_load_names_every_flaw() {
    type Flaw = fn(&mut RandomCheckpoint);
    let cases: [Flaw; 24] = [
        |c| drop(c.tensors.remove("energy_head.2.bias")),
        |c| c.tensors.get_mut("rbf.centers").unwrap().0 = vec![2, 3],
        |c| drop(c.tensors.insert("extra.weight".into(), (vec![1], vec![0.0]))),
        |c| c.tensors.get_mut("embedding.weight").unwrap().1[20] = f64::NAN,
        |c| c.tensors.get_mut("rbf.widths").unwrap().1[2] = 0.0,
        |c| c.config["num_interactions"] = json!(2),
        |c| c.config["num_interactions"] = json!(1000),
        |c| c.config["num_interactions"] = json!(0),
        |c| c.config["num_interactions"] = json!(u32::MAX),
        |c| c.config["hidden_dim"] = json!(u32::MAX),
        |c| c.config["num_rbf"] = json!("six"),
        |c| c.config["cutoff"] = json!(-1.0),
        |c| c.config["cutoff"] = json!(1e9),
        |c| c.config["max_z"] = json!(119),
        |c| drop(c.config.as_object_mut().unwrap().remove("cutoff")),
        |c| drop(c.config.as_object_mut().unwrap().remove("model_type")),
        |c| c.config["model_type"] = json!("transformer"),
        |c| c.config["num_parameters"] = json!(5),
        |c| c.config["elements"] = json!(["H", "Xx"]),
        |c| c.config["elements"] = json!(["Ne"]),
        |c| c.config["elements"] = json!([]),
        |c| c.config["element"] = json!(["H"]),
        |c| c.config["Learnable_rbf"] = json!(true),
        |c| c.config = json!([1]),
    ];
    let texts = cases.map(|flaw| {
        let mut checkpoint = RandomCheckpoint::new(0);
        flaw(&mut checkpoint);
        messages(&[checkpoint.load().unwrap_err()], checkpoint.folder.path())
    });
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn checkpoint_load_names_foreign_files() {
    let checkpoint = RandomCheckpoint::new(0);
    let folder = checkpoint.folder.path();
    let load = |path: &Path| Checkpoint::load(path).unwrap_err();
    let missing = |file: &Path, error: &CheckpointError| {
        let CheckpointError::Read(source) = within(file, error) else { panic!("{error:?}") };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
    };
    let absent = folder.join("absent");
    missing(&absent, &load(&absent));
    let mut errors = vec![load(folder)];
    assert!(matches!(within(folder, &errors[0]), CheckpointError::NothingToLoad), "{errors:?}");
    checkpoint.write();
    let [weights, config] = ["model.safetensors", "config.json"].map(|name| folder.join(name));
    assert!(Checkpoint::load(&weights).is_ok(), "the file instead of its folder");

    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
    let error = load(folder);
    assert!(matches!(within(&weights, &error), CheckpointError::Safetensors(_)), "{error:?}");
    errors.push(error);
    fs::write(&weights, &bytes).unwrap();
    fs::write(&config, "{").unwrap();
    let error = load(folder);
    assert!(matches!(within(&config, &error), CheckpointError::Config(_)), "{error:?}");
    errors.push(error);
    fs::write(&config, "{\"cutoff\": 5.0, \"max_z\": 9, \"cutoff\": 6.0}").unwrap();
    let error = load(folder);
    assert!(matches!(within(&config, &error), CheckpointError::Config(_)), "{error:?}");
    errors.push(error);
    fs::remove_file(&config).unwrap();
    missing(&config, &load(folder));

    let contents = [
        &b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."[..], // torch.save before PyTorch 1.6
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0a",
        b"\n<!DOCTYPE html><html>",
        b"\x80\x04}.",
        b"(dp0\nS'model_state_dict'\n",
        b"L119547037146038801333356L\n.",
        b"\xef\xbb\xbf<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        b"/annex/objects/SHA256E-s28725--0a.pt\n",
        b"\x1f\x8b\x08\0\0\0\0\0",
        b"weights",
    ];
    for bytes in contents {
        let file = folder.join("other.pt");
        fs::write(&file, bytes).unwrap();
        let error = load(&file);
        let problem = within(&file, &error);
        if bytes == b"weights" {
            assert!(matches!(problem, CheckpointError::UnknownFormat), "{error:?}");
        } else {
            assert!(matches!(problem, CheckpointError::OtherFile { .. }), "{error:?}");
        }
        errors.push(error);
    }
    fs::write(&weights, "version https://git-lfs.github.com/spec/v1\n").unwrap();
    let error = load(folder);
    assert!(matches!(within(&weights, &error), CheckpointError::OtherFile { .. }), "{error:?}");
    errors.push(error);
    insta::assert_snapshot!(messages(&errors, folder));
}

/// The length of its header may begin a safetensors file like a pickle: 0x80, 2.
#[test]
fn checkpoint_load_tells_safetensors_from_pickle() {
    let checkpoint = RandomCheckpoint::new(0);
    checkpoint.write();
    let weights = checkpoint.folder.path().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    // Spaces fill the header up to the next such length.
    let padded = (1..).map(|k| (k << 16) + 0x0280).find(|padded| *padded > length).unwrap();
    let header = [&bytes[8..8 + length], &vec![b' '; padded - length][..]].concat();
    let file = [&(padded as u64).to_le_bytes(), &header[..], &bytes[8 + length..]].concat();
    assert_eq!(file[..2], [0x80, 2]);
    fs::write(&weights, file).unwrap();
    Checkpoint::load(&weights).unwrap();
}

/// Returns the largest difference of energies (eV), and of forces relative to the largest force.
fn differences(a: &Evaluation, b: &Evaluation) -> (f64, f64) {
    let energy = std::iter::zip(&a.energies, &b.energies).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let force = std::iter::zip(&a.forces, &b.forces).map(|(a, b)| (a - b).amax()).fold(0.0, f64::max);
    (energy, force / b.forces.iter().map(Vec3::amax).fold(0.0, f64::max))
}

/// The fused loops and the tensor operations are implemented independently. Tables change forces by at most 10⁻⁶; that
/// they change them shows that the tables were used.
fn require_agreement(checkpoint: &Checkpoint, systems: &[System]) {
    let reference = evaluate(&mut Student::reference(checkpoint, Precision::F64).unwrap(), systems);
    let of = |precision, filters| {
        let mut student = Student::with_filters(checkpoint, precision, filters).unwrap();
        let found = evaluate(&mut student, systems);
        assert_eq!(found, evaluate(&mut student, systems), "memory is left of an earlier call");
        differences(&found, &reference)
    };
    let (energy, force) = of(Precision::F64, Filters::Exact);
    assert!(energy < 1e-11 && force < 1e-11, "exact: {energy:e} eV, {force:e}");
    let (energy, force) = of(Precision::F64, Filters::Tabulated);
    assert!(energy < 1e-6 && force < 1e-6 && force > 1e-14, "tabulated: {energy:e} eV, {force:e}");
    for filters in [Filters::Exact, Filters::Tabulated] {
        let (energy, force) = of(Precision::F32, filters);
        assert!(energy < 1e-4 && force < 5e-5, "{filters:?} in f32: {energy:e} eV, {force:e}");
    }
}

#[test]
fn distiller_native_and_burn_agree() {
    let systems =
        [molecule_and_lone_atom(), system("O H H", &[[0.0; 3], [0.9, 0.3, -0.1], [-0.4, 0.8, 0.2]])];
    for (hidden_dim, num_interactions, num_rbf) in [(16, 3, 6), (21, 2, 20), (128, 3, 20), (4, 1, 1)] {
        let sizes = DistillerHyperparameters {
            hidden_dim,
            num_interactions,
            num_rbf,
            cutoff: 5.0,
            max_z: 9,
            learnable_rbf: false,
        };
        let checkpoint = Checkpoint::untrained(&Architecture::Distiller(sizes), 3).unwrap();
        require_agreement(&checkpoint, &systems);
    }
    let Some(folder) = shared_checkpoints("distiller_native_and_burn_agree") else { return };
    let methane = [
        [0.02, 0.01, -0.01],
        [0.63, 0.6, 0.64],
        [-0.6, -0.65, 0.62],
        [-0.61, 0.63, -0.66],
        [0.64, -0.6, -0.63],
    ];
    for name in ["original", "tiny", "ultra-tiny"] {
        let checkpoint = Checkpoint::load(folder.join(name)).unwrap();
        require_agreement(
            &checkpoint,
            &[
                system("O H H", &[[0.0; 3], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.1]]),
                system("C H H H H", &methane),
            ],
        );
    }
}

/// Tabulated forces are the gradient of the tabulated energy, not of the energy of the network.
#[test]
fn distiller_tabulated_forces_match_tabulated_energy() {
    let checkpoint = RandomCheckpoint::new(5).load().unwrap();
    let mut student = Student::with_filters(&checkpoint, Precision::F64, Filters::Tabulated).unwrap();
    let mut isotropic = RandomCheckpoint::new(5);
    for (_, (_, values)) in isotropic.tensors.iter_mut().filter(|(name, _)| name.ends_with("mixing_matrix")) {
        *values = vec![0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.5];
    }
    let systems = [molecule_and_lone_atom()];
    let report = conformance::potential(&mut student, &systems, &Tolerances::double()).unwrap();
    assert!(report.failures().iter().all(|c| !c.id.contains("gradient")), "{report}");
    let mut student =
        Student::with_filters(&isotropic.load().unwrap(), Precision::F64, Filters::Tabulated).unwrap();
    let report = conformance::potential(&mut student, &systems, &Tolerances::double()).unwrap();
    assert!(report.failures().is_empty(), "{report}");
}
