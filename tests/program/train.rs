//! Tests `mdproof train`: from labelled frames to a checkpoint for the other commands.

use std::path::Path;

use md_model::Checkpoint;

use crate::support::{Output, mdproof, repository};

/// Runs `steps` training steps on the water frames of the repository.
fn train(folder: &Path, steps: u32, arguments: &[&str]) -> Output {
    let config = folder.join("train.toml");
    let frames = repository("data/train/water.extxyz.gz");
    let text = format!(
        r#"
            name = "small"
            seed = 1
            [student]
            hidden_dim = 8
            num_interactions = 1
            num_rbf = 8
            cutoff_angstrom = 5.0
            [[data]]
            frames = ["{}"]
            [validation]
            every_steps = {steps}
            max_frames = 50
            [optimiser]
            steps = {steps}
            batch_size = 10
            learning_rate = 1e-2
            warm_up_steps = 10
            ema_decay = 0.9
        "#,
        frames.display()
    );
    std::fs::write(&config, text).unwrap();
    let out = folder.join("run");
    let fixed = ["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    mdproof(fixed.into_iter().chain(arguments.iter().copied()))
}

#[test]
fn train_writes_student_that_evaluate_reads() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), 100, &[]);
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("finished after 100 steps"), "{}", output.stdout);
    let run = folder.path().join("run");
    assert_eq!(Checkpoint::load(&run).unwrap().architecture().model_type(), "painn");

    let test = ["300K", "600K"].map(|t| repository(&format!("data/test/water_{t}.extxyz.gz")));
    let [cold, hot] = test.each_ref().map(|path| path.to_str().unwrap());
    let output = mdproof(["evaluate", run.to_str().unwrap(), cold, hot, "--json"]);
    let evaluations: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    for evaluation in evaluations.as_array().unwrap() {
        assert_eq!(evaluation["n_frames"], 250);
        let force = &evaluation["force"];
        let (rmse, reference) =
            (force["rmse_eV_per_A"].as_f64().unwrap(), force["reference_rms_eV_per_A"].as_f64().unwrap());
        assert!(rmse < 0.5 * reference, "nothing was learnt: {rmse} eV/Å of {reference}");
    }
    let table = mdproof(["evaluate", run.to_str().unwrap(), cold, hot, "--markdown"]).stdout;
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.lines().all(|line| line.starts_with('|') && line.ends_with('|')), "{table}");
}

#[test]
fn train_resumes_only_with_resume_flag() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(folder.path(), 20, &["--resume"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("run"), "{}", output.stderr);
    assert_eq!(train(folder.path(), 20, &[]).status, 0);
    let output = train(folder.path(), 20, &[]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("resume it"), "{}", output.stderr);
    // Finished work is not repeated.
    let output = train(folder.path(), 20, &["--resume"]);
    assert_eq!(
        (output.status, output.stdout.contains("finished after 20 steps")),
        (0, true),
        "{}",
        output.stdout
    );
    // A different number of steps is a different run.
    let output = train(folder.path(), 30, &["--resume"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("optimiser.steps was 20 and is 30"), "{}", output.stderr);
}
