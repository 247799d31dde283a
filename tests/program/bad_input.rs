//! Invalid input gives one clear error and exit status 2. The first line of every file in `cases/bad` contains the
//! expected message.

use std::path::Path;

use md_model::{Checkpoint, DistillerHyperparameters};

use crate::support::{mdproof, repository};

#[test]
fn validate_rejects_bad_campaigns_with_status_2() {
    let mut cases: Vec<_> = std::fs::read_dir(repository("tests/cases/bad"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    cases.sort();
    assert!(cases.len() > 25, "the cases are gone");
    let mut wrong = Vec::new();
    for case in &cases {
        let text = std::fs::read_to_string(case).unwrap();
        let expected = text.lines().next().unwrap().strip_prefix("# error: ").unwrap();
        let out = tempfile::tempdir().unwrap();
        let output =
            mdproof(["validate".as_ref(), case.as_os_str(), "--out".as_ref(), out.path().as_os_str()]);
        let one_line = output.stderr.starts_with("error: ") && output.stderr.matches("error: ").count() == 1;
        if output.status != 2 || !output.stderr.contains(expected) || !one_line {
            let name = case.file_name().unwrap();
            wrong.push(format!(
                "{name:?}: status {}\n  expected {expected}\n  got      {}",
                output.status, output.stderr
            ));
        }
        assert!(!out.path().join("results.json").exists(), "{case:?} wrote results");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_arguments_exit_with_status_2() {
    for (arguments, expected) in [
        (vec!["validate", "no-such-file.toml"], "no-such-file.toml: cannot be read"),
        (vec!["validate", "x.toml", "--model", "tiny"], "expected NAME=CHECKPOINT"),
        (vec!["validate", "x.toml", "--only", "colour=red"], "expected model=NAME"),
        (vec!["evaluate", "no-such-checkpoint", "frames.xyz"], "no-such-checkpoint"),
        (vec!["verdict", "no-such-results.json"], "no-such-results.json"),
        (vec!["frobnicate"], "unrecognized subcommand"),
    ] {
        let output = mdproof(&arguments);
        assert_eq!(output.status, 2, "{arguments:?}");
        assert!(output.stderr.contains(expected), "{arguments:?}: {}", output.stderr);
    }
}

/// Creates a small untrained network with valid files.
pub fn checkpoint(folder: &Path) {
    let sizes = DistillerHyperparameters {
        hidden_dim: 16,
        num_interactions: 2,
        num_rbf: 8,
        cutoff: 5.0,
        max_z: 20,
        learnable_rbf: false,
    };
    Checkpoint::untrained(&md_model::Architecture::Distiller(sizes), 7).unwrap().save(folder).unwrap();
}

#[test]
fn validate_names_damaged_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let validate = |checkpoint: &Path| {
        let model = format!("broken={}", checkpoint.display());
        let out = tempfile::tempdir().unwrap();
        let smoke = repository("configs/smoke.toml");
        mdproof([
            "validate".as_ref(),
            smoke.as_os_str(),
            "--model".as_ref(),
            model.as_ref(),
            "--out".as_ref(),
            out.path().as_os_str(),
        ])
    };
    checkpoint(folder.path());
    let config = folder.path().join("config.json");
    let good = std::fs::read_to_string(&config).unwrap();

    std::fs::write(&config, good.replace("\"hidden_dim\": 16", "\"hidden_dim\": 32")).unwrap();
    let output = validate(folder.path());
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("model 'broken'"), "{}", output.stderr);
    let named = format!(
        "hidden_dim is 32 in {}, but 16 in {}",
        config.display(),
        folder.path().join("model.safetensors").display()
    );
    assert!(output.stderr.contains(&named), "{}", output.stderr);

    let renamed =
        good.replace("\"model_type\": \"painn_student_mlff_distiller\"", "\"model_type\": \"schnet\"");
    assert_ne!(good, renamed);
    std::fs::write(&config, renamed).unwrap();
    let output = validate(folder.path());
    assert_eq!(output.status, 2);
    assert!(
        output.stderr.contains("schnet") && output.stderr.contains("painn_student_mlff_distiller"),
        "{}",
        output.stderr
    );

    std::fs::write(&config, &good).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), b"not a safetensors file").unwrap();
    let output = validate(folder.path());
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("model.safetensors"), "{}", output.stderr);
}

#[test]
fn validate_finds_unknown_element_before_running() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    let config = folder.path().join("config.json");
    let mut edited: serde_json::Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    edited["elements"] = serde_json::json!(["H", "C"]);
    std::fs::write(&config, edited.to_string()).unwrap();
    let model = format!("hydrocarbons={}", folder.path().display());
    let out = folder.path().join("out");
    let smoke = repository("configs/smoke.toml");
    let output = mdproof([
        "validate".as_ref(),
        smoke.as_os_str(),
        "--model".as_ref(),
        model.as_ref(),
        "--out".as_ref(),
        out.as_os_str(),
    ]);
    assert_eq!(output.status, 2);
    for expected in ["model 'hydrocarbons' cannot run the molecule 'water'", "element O", "H, C"] {
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    assert!(!out.exists());

    // The campaign does not run water, so that it causes no error.
    let methane = repository("data/molecules/methane.xyz");
    let water = repository("data/molecules/water.xyz");
    let text = format!(
        r#"
            campaign = {{ name = "hydrocarbons", seed = 1 }}
            molecule = [{{ name = "methane", structure = {methane:?} }}, {{ name = "water", structure = {water:?} }}]
            [[model]]
            name = "hydrocarbons"
            checkpoint = "."
            [[model]]
            name = "control"
            analytic = "control"
            [[run]]
            models = ["hydrocarbons"]
            molecules = ["methane"]
            ensemble = "nve"
            timestep_fs = 0.5
            duration_ps = 0.001
            temperatures_K = [300]
            replicas = 1
            relax = false
            [[run]]
            molecules = ["water"]
            ensemble = "nve"
            timestep_fs = 0.5
            duration_ps = 0.01
            temperatures_K = [300]
            replicas = 1
        "#
    );
    let asked = folder.path().join("asked.toml");
    std::fs::write(&asked, text).unwrap();
    let output = mdproof(["validate".as_ref(), asked.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    let results = md_results::Results::read(&out.join("results.json")).expect(&output.stderr);
    let runs: Vec<_> = results.runs.iter().map(|r| (r.model.as_str(), r.molecule.as_str())).collect();
    assert_eq!(runs, [("hydrocarbons", "methane"), ("control", "water")]);
    let asked = |m: &md_results::Model, molecule: &String| {
        m.molecules.contains(molecule)
            || [md_results::ELEMENT_PAIRS, md_results::ALL_CHECKS].contains(&molecule.as_str())
    };
    assert!(results.models.iter().all(|m| m.checks.iter().all(|c| asked(m, &c.molecule))));
    let relaxed: Vec<_> =
        results.relaxations.iter().map(|r| (r.model.as_str(), r.molecule.as_str())).collect();
    assert_eq!(
        relaxed,
        [("hydrocarbons", "methane"), ("control", "water")],
        "each has its minimum looked at"
    );
}
