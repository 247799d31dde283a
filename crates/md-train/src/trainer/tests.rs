use std::collections::BTreeMap;

use md_model::{Checkpoint, CheckpointError};

use super::*;
use crate::Errors;
use crate::fixtures::{CONFIG, config, frames, write};

const CPU: TrainingDevice = TrainingDevice::Cpu;

/// Creates a folder with data.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &frames(5, 6));
    folder
}

/// Returns the messages, with the path of the folder replaced.
fn messages<const N: usize>(errors: [&TrainError; N], folder: &tempfile::TempDir) -> String {
    errors.map(ToString::to_string).join("\n").replace(&folder.path().display().to_string(), "FOLDER")
}

fn continue_with(_: Event<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn stop_at(step: u64) -> impl FnMut(Event<'_>) -> ControlFlow<()> {
    move |event| match event {
        Event::Step(report) if report.step == step => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    }
}

/// Returns the contents of every file of a folder.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect()
}

const FILES: [&str; 6] = [
    ".training.lock",
    "config.json",
    "metrics.jsonl",
    "model.safetensors",
    "state.safetensors",
    "training.json",
];

#[test]
fn trainer_resume_is_byte_identical() {
    let folder = workplace();
    let config = config(folder.path(), CONFIG);
    let [whole, killed, stopped] = ["whole", "killed", "stopped"].map(|name| folder.path().join(name));

    assert_eq!(
        Trainer::new(config.clone(), &whole, CPU).unwrap().run(&mut continue_with).unwrap(),
        Outcome::Finished
    );
    let expected = contents(&whole);
    assert_eq!(expected.keys().collect::<Vec<_>>(), FILES);

    // Killed in step 9: the state on disk is that of step 5, and the log and the checkpoint are ahead of it.
    let mut trainer = Trainer::new(config.clone(), &killed, CPU).unwrap();
    let before_kill = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        trainer.run(&mut |event| match event {
            Event::Step(report) if report.step == 9 => panic!("killed"),
            _ => ControlFlow::Continue(()),
        })
    }));
    before_kill.unwrap_err();
    drop(trainer);
    let mut trainer = Trainer::resume(config.clone(), &killed, CPU).unwrap();
    assert_eq!(trainer.step(), 5);
    assert_eq!(trainer.run(&mut continue_with).unwrap(), Outcome::Finished);
    assert!(contents(&killed) == expected);

    // Stopped by the caller after steps 3 and 9, within an interval of the log.
    let mut trainer = Trainer::new(config.clone(), &stopped, CPU).unwrap();
    assert_eq!(trainer.run(&mut stop_at(3)).unwrap(), Outcome::Interrupted);
    drop(trainer);
    let mut trainer = Trainer::resume(config.clone(), &stopped, CPU).unwrap();
    assert_eq!(trainer.step(), 3);
    assert_eq!(trainer.run(&mut stop_at(9)).unwrap(), Outcome::Interrupted);
    drop(trainer);
    let mut trainer = Trainer::resume(config.clone(), &stopped, CPU).unwrap();
    assert_eq!(trainer.run(&mut continue_with).unwrap(), Outcome::Finished);
    assert!(contents(&stopped) == expected);

    // Resuming a finished run does nothing.
    let mut events = 0;
    drop(trainer);
    let mut trainer = Trainer::resume(config, &stopped, CPU).unwrap();
    let outcome = trainer.run(&mut |_| {
        events += 1;
        ControlFlow::Continue(())
    });
    assert_eq!((outcome.unwrap(), events), (Outcome::Finished, 0));
    assert!(contents(&stopped) == expected);
}

#[test]
fn trainer_is_independent_of_thread_count() {
    let folder = workplace();
    // 12 systems of 3 and 5 atoms are at least two parts.
    let config = config(folder.path(), &CONFIG.replace("steps = 20", "steps = 8"));
    let ends = [1, 2, 5].map(|threads| {
        let out = folder.path().join(threads.to_string());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Trainer::new(config.clone(), &out, CPU).unwrap().run(&mut continue_with).unwrap());
        contents(&out)
    });
    assert!(ends[0] == ends[1] && ends[0] == ends[2]);
}

#[test]
fn trainer_output_is_readable() {
    let folder = workplace();
    let out = folder.path().join("out");
    let mut events = Vec::new();
    let mut trainer = Trainer::new(config(folder.path(), CONFIG), &out, CPU).unwrap();
    trainer
        .run(&mut |event| {
            events.push(match event {
                Event::Step(report) => format!("step {}", report.step),
                Event::Validated(_) => "validated".to_owned(),
                Event::Improved(best) => format!("improved {}", best.step),
                Event::Saved => "saved".to_owned(),
            });
            ControlFlow::Continue(())
        })
        .unwrap();
    let at = |name: &str| events.iter().position(|event| event == name).unwrap();
    assert_eq!(events[at("step 6") + 1..at("step 6") + 3], ["validated", "improved 6"]);
    assert_eq!(events[at("step 5") + 1], "saved");
    assert_eq!(events.last().unwrap(), "saved");

    let best = trainer.best().unwrap();
    let record: TrainingRecord =
        serde_json::from_slice(&fs::read(out.join("training.json")).unwrap()).unwrap();
    assert_eq!((record.name.as_str(), record.step), ("test", best.step));
    assert_eq!(record.validation.all.force_rmse_ev_per_angstrom, best.force_rmse_ev_per_angstrom);
    assert_eq!(record.split, trainer.split().molecules);
    // One of the five trajectories of each molecule.
    assert_eq!(record.split["water"].training_frames, 24);
    assert_eq!(record.validation.molecules["methane"].frames, 6);

    let checkpoint = Checkpoint::load(&out).unwrap();
    assert_eq!(checkpoint.sha256(), record.model_sha256);
    assert_eq!(checkpoint.parameter_count(), record.parameters);
    // The errors in the record are those of the saved file.
    let mut student = Student::new(&checkpoint, Precision::F32).unwrap();
    let again = validate(&mut student, trainer.data(), &trainer.split().validation, 0).unwrap();
    assert_eq!(again, record.validation);

    let log = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines: Vec<MetricsLine> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps = |training: bool| -> Vec<u64> {
        lines
            .iter()
            .filter_map(|line| match line {
                MetricsLine::Training { step, .. } if training => Some(*step),
                MetricsLine::Validation { step, .. } if !training => Some(*step),
                _ => None,
            })
            .collect()
    };
    assert_eq!((steps(true), steps(false)), (vec![4, 8, 12, 16, 20], vec![6, 12, 18, 20]));
}

#[test]
fn trainer_refuses_folder_of_another_process_or_checkpoint() {
    let folder = workplace();
    let out = folder.path().join("out");
    let at = || config(folder.path(), CONFIG);
    let first = Trainer::new(at(), &out, CPU).unwrap();
    let second = Trainer::resume(at(), &out, CPU).unwrap_err();
    assert!(matches!(&second, TrainError::InUse(folder) if *folder == out), "{second:?}");
    drop(first);
    Trainer::resume(at(), &out, CPU).unwrap();

    let model = folder.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("model.safetensors"), "weights").unwrap();
    let over = Trainer::new(at(), &model, CPU).unwrap_err();
    assert!(matches!(&over, TrainError::HoldsCheckpoint(folder) if *folder == model), "{over:?}");
    assert_eq!(fs::read(model.join("model.safetensors")).unwrap(), b"weights");
}

/// A flipped bit anywhere in the state would train another model.
#[test]
fn trainer_resume_refuses_every_flipped_bit() {
    let folder = workplace();
    let out = folder.path().join("out");
    let at = || config(folder.path(), CONFIG);
    Trainer::new(at(), &out, CPU).unwrap().run(&mut stop_at(2)).unwrap();
    let state = out.join("state.safetensors");
    let sound = fs::read(&state).unwrap();
    for n in 0..40 {
        let mut damaged = sound.clone();
        damaged[n * (sound.len() - 1) / 39] ^= 1 << (n % 8);
        fs::write(&state, &damaged).unwrap();
        let error = Trainer::resume(at(), &out, CPU).unwrap_err();
        assert!(matches!(&error, TrainError::State { path, .. } if *path == state), "{n}: {error:?}");
    }
    fs::write(&state, &sound).unwrap();
    Trainer::resume(at(), &out, CPU).unwrap();
}

#[test]
fn trainer_resume_refuses_other_config_or_state() {
    let folder = workplace();
    let out = folder.path().join("out");
    let at = |text: &str| config(folder.path(), text);
    let state = out.join("state.safetensors");
    let no_run = Trainer::resume(at(CONFIG), &out, CPU).unwrap_err();
    assert!(matches!(&no_run, TrainError::NotBegun(folder) if *folder == out), "{no_run:?}");
    Trainer::new(at(CONFIG), &out, CPU).unwrap().run(&mut stop_at(2)).unwrap();
    let again = Trainer::new(at(CONFIG), &out, CPU).unwrap_err();
    assert!(matches!(&again, TrainError::AlreadyBegun(folder) if *folder == out), "{again:?}");

    let changed = CONFIG.replace("batch_size = 12", "batch_size = 3").replace("repeat = 2", "repeat = 3");
    let other_config = Trainer::resume(at(&changed), &out, CPU).unwrap_err();
    assert!(
        matches!(&other_config, TrainError::Changed { folder, .. } if *folder == out),
        "{other_config:?}"
    );

    write(folder.path(), &frames(5, 7));
    let other_data = Trainer::resume(at(CONFIG), &out, CPU).unwrap_err();
    assert!(matches!(&other_data, TrainError::Changed { folder, .. } if *folder == out), "{other_data:?}");

    write(folder.path(), &frames(5, 6));
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() - 1]).unwrap();
    let cut = Trainer::resume(at(CONFIG), &out, CPU).unwrap_err();
    assert!(matches!(&cut, TrainError::State { path, .. } if *path == state), "{cut:?}");
    let without = safetensors::serialize(
        [("x", safetensors::tensor::TensorView::new(safetensors::Dtype::F64, vec![1], &[0; 8]).unwrap())],
        None,
    );
    fs::write(&state, without.unwrap()).unwrap();
    let foreign = Trainer::resume(at(CONFIG), &out, CPU).unwrap_err();
    assert!(matches!(&foreign, TrainError::State { path, .. } if *path == state), "{foreign:?}");
    let errors = [&no_run, &again, &other_config, &other_data, &cut, &foreign];
    insta::assert_snapshot!(messages(errors, &folder));
}

#[test]
fn trainer_stops_on_non_finite_loss_and_keeps_state() {
    let folder = workplace();
    let out = folder.path().join("out");
    let text = CONFIG
        .replace("learning_rate = 0.01\n", "learning_rate = 1e30\n")
        .replace("warm_up_steps = 5", "warm_up_steps = 1")
        .replace("checkpoint_every_steps = 5", "checkpoint_every_steps = 1000");
    let error =
        Trainer::new(config(folder.path(), &text), &out, CPU).unwrap().run(&mut continue_with).unwrap_err();
    let TrainError::NotFinite { what, step, learning_rate, frames, saved_step } = &error else {
        panic!("{error}");
    };
    assert!((2..5).contains(step), "{error}");
    assert!(*learning_rate > 1e29 && *saved_step == 0);
    assert!(frames.contains("water.extxyz.gz: ") && frames.contains("methane.extxyz: "), "{error}");
    // The step whose numbers are the first beyond f32 depends on how the CPU rounds.
    let message = error
        .to_string()
        .replace(&format!("step {step}: the {what}"), "step STEP: the WHAT")
        .replace(&format!("{learning_rate:e}"), "RATE")
        .replace(frames, "FRAMES");
    insta::assert_snapshot!(message);
    let trainer = Trainer::resume(config(folder.path(), &text), &out, CPU).unwrap();
    assert_eq!(trainer.step(), 0);
    assert_eq!(contents(&out).into_keys().collect::<Vec<_>>(), [".training.lock", "state.safetensors"]);
}

#[test]
fn trainer_stops_early_after_patience() {
    let folder = workplace();
    let out = folder.path().join("out");
    // Learning rates so small that nothing changes.
    let text = CONFIG
        .replace("every_steps = 6", "every_steps = 1\npatience = 2")
        .replace("learning_rate = 0.01\n", "learning_rate = 1e-30\n")
        .replace("learning_rate = 0.0001", "learning_rate = 1e-30");
    let config = config(folder.path(), &text);
    let mut trainer = Trainer::new(config.clone(), &out, CPU).unwrap();
    assert_eq!(trainer.run(&mut continue_with).unwrap(), Outcome::StoppedEarly);
    assert_eq!(trainer.step(), 3); // the first is the best; the next two are not better
    drop(trainer);
    let mut trainer = Trainer::resume(config, &out, CPU).unwrap();
    assert_eq!((trainer.step(), trainer.run(&mut continue_with).unwrap()), (3, Outcome::StoppedEarly));
}

#[test]
fn trainer_starts_from_fitting_checkpoint() {
    let folder = workplace();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let mut trainer = Trainer::new(config(folder.path(), CONFIG), &first, CPU).unwrap();
    trainer.run(&mut continue_with).unwrap();
    let best = trainer.best().unwrap().force_rmse_ev_per_angstrom;

    let text = CONFIG
        .replace("seed = 3", "seed = 3\nstart_from = 'first'")
        .replace("learning_rate = 0.01\n", "learning_rate = 1e-30\n")
        .replace("learning_rate = 0.0001", "learning_rate = 1e-30");
    let mut trainer = Trainer::new(config(folder.path(), &text), &second, CPU).unwrap();
    trainer.run(&mut continue_with).unwrap();
    // The weights did not change, so the error is that of the initial checkpoint.
    assert!((trainer.best().unwrap().force_rmse_ev_per_angstrom / best - 1.0).abs() < 1e-6);

    let other = text.replace("hidden_dim = 16", "hidden_dim = 20");
    let other = Trainer::new(config(folder.path(), &other), &folder.path().join("third"), CPU).unwrap_err();
    assert!(matches!(&other, TrainError::StartFrom { path, .. } if *path == first), "{other:?}");
    drop(trainer);
    // The run also requires the same initial checkpoint, and the record of a checkpoint requires its weights.
    Checkpoint::untrained(Checkpoint::load(&first).unwrap().architecture(), 1).unwrap().save(&first).unwrap();
    let error = Trainer::resume(config(folder.path(), &text), &second, CPU).unwrap_err();
    let TrainError::Checkpoint(CheckpointError::In { source, .. }) = &error else { panic!("{error:?}") };
    assert!(matches!(**source, CheckpointError::OtherTraining { .. }), "{error:?}");
    fs::remove_file(first.join("training.json")).unwrap();
    let replaced = Trainer::resume(config(folder.path(), &text), &second, CPU).unwrap_err();
    assert!(matches!(&replaced, TrainError::Changed { folder, .. } if *folder == second), "{replaced:?}");
    insta::assert_snapshot!(messages([&other, &replaced], &folder));
}

#[test]
fn trainer_learns_analytic_potential() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &frames(5, 40));
    let out = folder.path().join("out");
    let text = CONFIG
        .replace("steps = 20\n", "steps = 800\n")
        .replace("every_steps = 6", "every_steps = 200")
        .replace("batch_size = 12", "batch_size = 8")
        .replace("ema_decay = 0.9", "ema_decay = 0.98");
    let mut trainer = Trainer::new(config(folder.path(), &text), &out, CPU).unwrap();
    trainer.run(&mut continue_with).unwrap();
    let record: TrainingRecord =
        serde_json::from_slice(&fs::read(out.join("training.json")).unwrap()).unwrap();
    let labels: Vec<f64> =
        trainer.data().frames.iter().flat_map(|f| &f.forces).map(|f| f.norm_squared() / 3.0).collect();
    let rms = (labels.iter().sum::<f64>() / labels.len() as f64).sqrt();
    let Errors { force_rmse_ev_per_angstrom: force, energy_rmse_mev_per_atom: energy, .. } =
        record.validation.all;
    // R² above 0.99.
    assert!(force < 0.1 * rms && energy < 4.0, "{force} of {rms} eV/Å, {energy} meV/atom");
}
