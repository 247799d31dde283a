//! Findings of a campaign about sound and defective models.

use std::path::{Path, PathBuf};

use md_model::{Checkpoint, Weights};
use md_results::{CauseKind, Model, Results, RunFate, Status, Verdict};

use crate::support::{Output, mdproof, repository};

/// Runs a campaign on water and methane with the given models and runs.
fn campaign(folder: &Path, models: &str, runs: &str) -> (Output, Results) {
    let data = |path: &str| repository("data").join(path).display().to_string();
    let text = format!(
        r#"
            [campaign]
            name = "physics"
            seed = 20251125
            frames_per_run = 4
            {models}
            [[molecule]]
            name = "water"
            structure = "{}"
            reference = "{}"
            frequencies_per_cm = [1622.3, 3852.2, 3960.0]
            [[molecule]]
            name = "methane"
            structure = "{}"
            reference = "{}"
            {runs}
        "#,
        data("molecules/water.xyz"),
        data("dft/water.extxyz.gz"),
        data("molecules/methane.xyz"),
        data("dft/methane.extxyz.gz"),
    );
    let config = folder.join("campaign.toml");
    std::fs::write(&config, text).unwrap();
    let out = folder.join("out");
    let output = mdproof(["validate".as_ref(), config.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    assert_ne!(output.status, 2, "{}{}", output.stdout, output.stderr);
    let results = Results::read(&out.join("results.json")).unwrap();
    (output, results)
}

fn model(name: &str, checkpoint: &Path, more: &str) -> String {
    format!("[[model]]\nname = \"{name}\"\ncheckpoint = \"{}\"\n{more}\n", checkpoint.display())
}

fn ultra_tiny() -> PathBuf {
    repository("data/checkpoints/ultra-tiny")
}

const SHORT: &str = r#"
    [[run]]
    ensemble = "nve"
    timestep_fs = 0.5
    duration_ps = 0.1
    temperatures_K = [300]
    replicas = 2
"#;

fn judged<'a>(results: &'a Results, name: &str) -> &'a Model {
    results.models.iter().find(|m| m.name == name).unwrap()
}

#[test]
fn gates_pass_on_sound_student() {
    let folder = tempfile::tempdir().unwrap();
    let (_, results) = campaign(folder.path(), &model("student", &ultra_tiny(), ""), SHORT);
    // Short runs at one temperature cannot decide these.
    let gates = |c: &&md_results::Check| {
        let short = ["stable_ps", "energy_drift_meV_per_atom_per_ps", "energy_drift_of_kinetic_percent"];
        ![&short[..], &["temperatures", "simulated_ps"]].concat().contains(&c.id.as_str())
    };
    let fired: Vec<_> = judged(&results, "student")
        .checks
        .iter()
        .filter(gates)
        .filter(|c| c.status != Status::Pass)
        .map(|c| (&c.id, &c.molecule, c.value, &c.reason))
        .collect();
    assert!(fired.is_empty(), "{fired:#?}");
    let value = |id: &str, molecule: &str| {
        let gate = results.gates.iter().find(|g| g.id.name() == id && g.molecule == molecule).unwrap();
        gate.value.unwrap()
    };
    assert!(value("frequency_error", "water") < 3.0, "PBE0 is 2 % away");
    assert!(
        results.gates.iter().any(|g| g.detail.contains("its own frame at 300 K")),
        "gates on its own frames"
    );
    assert!(
        results.timesteps.iter().all(|l| l.largest_safe_fs.is_some_and(|fs| fs >= 0.5)),
        "{:?}",
        results.timesteps
    );
    assert_eq!(results.timesteps.len(), 2);
    assert!(results.shifts.iter().all(|s| s.median_ratio < 3.0), "{:?}", results.shifts);
    assert!(results.attributions.is_empty() && results.failures.is_empty(), "{:?}", results.failures);
    assert_eq!(results.survival.last().unwrap().runs, 4);
}

#[test]
fn validate_approves_no_runs_over_safe_timestep() {
    let folder = tempfile::tempdir().unwrap();
    let long_steps = SHORT.replace("timestep_fs = 0.5", "timestep_fs = 4");
    let (output, results) = campaign(folder.path(), &model("student", &ultra_tiny(), ""), &long_steps);
    assert!(!output.stdout.contains("APPROVED   APPROVED"), "{}", output.stdout);
    for check in judged(&results, "student").checks.iter().filter(|c| c.id == "timestep_over_safe") {
        assert_eq!(check.status, Status::Skipped, "{check:?}");
        assert!(check.reason.contains("runs at 4 fs, but the longest safe step is"), "{check:?}");
    }
}

#[test]
fn frames_round_trip_as_labelled_reference() {
    let folder = tempfile::tempdir().unwrap();
    let models = model("student", &ultra_tiny(), "");
    campaign(folder.path(), &models, SHORT);
    let (out, frames) = (folder.path().join("out"), folder.path().join("frames.extxyz"));
    let take = |more: &[&str]| {
        let mut arguments = vec!["frames".into(), out.as_os_str().to_owned(), "--out".into()];
        arguments.push(frames.as_os_str().to_owned());
        arguments.extend(more.iter().map(Into::into));
        mdproof(arguments)
    };
    let taken = take(&["--molecule", "water"]);
    assert_eq!(
        (taken.status, taken.stdout.split(' ').next()),
        (0, Some("8")),
        "{}{}",
        taken.stdout,
        taken.stderr
    );
    assert_eq!(take(&[]).status, 2, "a file is not overwritten");
    std::fs::remove_file(&frames).unwrap();
    assert!(
        take(&["--model", "nobody"])
            .stderr
            .contains("no frame of the model 'nobody' (it has frames of student)")
    );

    let again = |labels: &Path, out: &str| {
        let config = folder.path().join("campaign.toml");
        let out = folder.path().join(out);
        let output = mdproof([
            "validate".as_ref(),
            config.as_os_str(),
            "--labels".as_ref(),
            labels.as_os_str(),
            "--out".as_ref(),
            out.as_os_str(),
        ]);
        (output, Results::read(&out.join("results.json")).ok())
    };
    // The frames have no labels as they are, and the model's own labels are no evidence.
    assert_eq!(take(&["--molecule", "water"]).status, 0);
    let labelled = folder.path().join("labelled.extxyz");
    let text = std::fs::read_to_string(&frames).unwrap();
    let own = text.replace(":model_forces:", ":forces:").replace("model_energy=", "energy=");
    std::fs::write(&labelled, &own).unwrap();
    for (labels, expected) in [
        (&frames, "frame 0: no forces: these frames hold the model's own answers (model_forces)"),
        (&labelled, "the labels are the model's own forces"),
    ] {
        let (output, _) = again(labels, "own");
        assert_eq!(output.status, 2, "{}", output.stdout);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
        assert!(!folder.path().join("own").exists(), "an error before anything is run");
    }

    // Forces with an offset of 0.3 eV/Å in x, as if from another program.
    let shifted: String = own
        .lines()
        .map(|line| {
            let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            if words.len() == 7 && ["O", "H"].contains(&words[0].as_str()) {
                words[4] = (words[4].parse::<f64>().unwrap() + 0.3).to_string();
                words.join(" ") + "\n"
            } else {
                line.to_owned() + "\n"
            }
        })
        .collect();
    std::fs::write(&labelled, &shifted).unwrap();
    let (output, results) = again(&labelled, "labelled");
    let results = results.unwrap();
    let along = results.evaluations.iter().find(|e| !e.by_time.is_empty()).unwrap();
    let rmse = along.force.as_ref().unwrap().rmse_ev_per_angstrom;
    assert!((rmse - 0.3 / 3_f64.sqrt()).abs() < 1e-4, "{rmse}");
    assert_eq!(along.by_time.iter().map(|b| b.n_frames).sum::<usize>(), 8);
    assert!(
        along.by_time.iter().all(|b| (b.rmse_ev_per_angstrom - rmse).abs() < 1e-3),
        "{:?}",
        along.by_time
    );
    assert!(output.stdout.contains("along its own runs of water: 300 K"), "{}", output.stdout);

    // Labels of unknown origin.
    let methane = shifted.replace("molecule=water", "molecule=methane");
    let second =
        format!("{own}{}", text.lines().take(5).map(|line| line.to_owned() + "\n").collect::<String>());
    for (text, expected) in [
        (text.replace("model=student", "model=other"), "frame 0: the campaign has no model 'other'"),
        (methane, "frame 0 is H2O, the structure is CH4"),
        (second, "frame 8: no forces: these frames hold the model's own answers"),
    ] {
        std::fs::write(&labelled, text).unwrap();
        let (output, _) = again(&labelled, "other");
        assert_eq!(output.status, 2);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}

#[test]
fn validate_runs_thermostats_ramps_and_preparation() {
    let folder = tempfile::tempdir().unwrap();
    let runs = r#"
        [[run]]
        ensemble = "langevin"
        friction_per_ps = 20.0
        timestep_fs = 0.5
        duration_ps = 2.0
        temperatures_K = [300]
        replicas = 1
        molecules = ["methane"]
        [[run]]
        ensemble = "bussi"
        ramp_to_K = 900
        timestep_fs = 0.5
        duration_ps = 0.5
        temperatures_K = [100]
        replicas = 1
        molecules = ["water"]
        [[run]]
        ensemble = "nve"
        equilibrate_ps = 0.5
        timestep_fs = 0.5
        duration_ps = 0.2
        temperatures_K = [300]
        replicas = 1
        [criteria.sampling]
        defaults = false
        ramp_survival_K = 900
    "#;
    let (_, results) = campaign(folder.path(), &model("student", &ultra_tiny(), ""), runs);
    let run = |ensemble: &str| results.runs.iter().find(|r| r.ensemble.name() == ensemble).unwrap();
    let thermal = run("langevin").thermal.as_ref().unwrap();
    let error = thermal.temperature_standard_error_percent.unwrap();
    assert!(thermal.temperature_error_percent.abs() < 4.0 * error + 1.0, "{thermal:?}");
    assert!(
        thermal.equipartition_p.unwrap() > 1e-4 && thermal.kinetic_energy_p.unwrap() > 1e-4,
        "{thermal:?}"
    );
    let energy = run("langevin").energy.as_ref().unwrap();
    assert!(energy.rms_fluctuation_mev_per_atom < 5.0, "the conserved quantity is: {energy:?}");
    assert!(run("bussi").temperature.as_ref().unwrap().max_k > 500.0);
    assert_eq!(run("nve").equilibrated_ps, Some(0.5));
    // From the minimum, NVE would have half the given temperature: the equilibration fills kinetic and potential
    // energy.
    let ramp = judged(&results, "student")
        .checks
        .iter()
        .find(|c| c.id == "ramp_survival_K" && c.molecule == "water");
    assert_eq!((ramp.unwrap().status, ramp.unwrap().value), (Status::Pass, Some(900.0)));
}

/// Writes the student with its weights rounded to f16.
fn rounded(to: &Path) {
    let checkpoint = Checkpoint::load(ultra_tiny()).unwrap();
    let mut weights: Weights = checkpoint.weights().clone();
    for x in weights.values_mut().flat_map(|t| &mut t.values) {
        *x = f64::from(half::f16::from_f64(*x));
    }
    std::fs::create_dir(to).unwrap();
    checkpoint.with_weights(weights).unwrap().save(to).unwrap();
}

#[test]
fn validate_detects_f16_weights_and_meets_expectation() {
    let folder = tempfile::tempdir().unwrap();
    let coarse = folder.path().join("coarse");
    rounded(&coarse);
    let models = model("coarse", &coarse, "expect = \"rejected\"")
        + "[criteria.production]\nforce_rmse_ev_per_angstrom = 0.001\n";
    let (output, results) = campaign(folder.path(), &models, SHORT);
    let coarse = judged(&results, "coarse");
    assert_eq!(coarse.weight_bits, Some(11));
    assert_eq!(coarse.verdict, Some(Verdict::Rejected));
    assert_eq!(output.status, 0, "a rejection that was expected");
    let mode = coarse.failure_modes.iter().find(|m| m.id == "accuracy").unwrap();
    assert!(mode.finding.contains("11 significant bits"), "{mode:?}");
}

#[test]
fn adaptive_stops_hopeless_and_adds_replicas_if_undecided() {
    let folder = tempfile::tempdir().unwrap();
    let runs = |criteria: &str| {
        format!("{SHORT}\n[adaptive]\nearly_stop_ps = 0.02\nmax_extra_replicas = 2\n{criteria}")
    };
    let hopeless = runs("[criteria.production]\nforce_rmse_ev_per_angstrom = 0.001\n");
    let (output, results) = campaign(folder.path(), &model("student", &ultra_tiny(), ""), &hopeless);
    assert!(
        results.runs.iter().all(|r| r.fate == RunFate::StoppedEarly && r.steps_done == 40),
        "{:?}",
        results.runs[0]
    );
    assert!(
        output.stdout.contains("had failed every use before its runs, which end after 0.02 ps"),
        "{}",
        output.stdout
    );

    let folder = tempfile::tempdir().unwrap();
    let undecided = runs("[criteria.production]\nenergy_drift_meV_per_atom_per_ps = 0.01\n");
    let (output, results) = campaign(folder.path(), &model("student", &ultra_tiny(), ""), &undecided);
    assert!(results.runs.len() > 4, "{}", output.stdout);
    assert!(results.runs.iter().any(|r| r.replica == 2), "{}", output.stdout);
    assert!(output.stdout.contains("replica 2 added for"), "{}", output.stdout);
}

/// Public checkpoints, if available: every known defect is found.
#[test]
fn validate_finds_known_defects_of_public_checkpoints() {
    let shared = repository("../shared/checkpoints");
    if !shared.is_dir() {
        return;
    }
    let runs = format!("{SHORT}relax = false\n");
    for name in ["original", "tiny"] {
        let folder = tempfile::tempdir().unwrap();
        let (output, results) =
            campaign(folder.path(), &model(name, &shared.join(name), "expect = \"rejected\""), &runs);
        assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
        let found = judged(&results, name);
        let modes: Vec<&str> = found.failure_modes.iter().map(|m| m.id.as_str()).collect();
        for mode in ["symmetry", "smoothness", "stability"] {
            assert!(modes.contains(&mode), "{name}: {modes:?}");
        }
        let failed = |id: &str| found.checks.iter().any(|c| c.id == id && c.status == Status::Fail);
        for id in [
            "rotation_energy_ev",
            "net_torque_ev",
            "dimer_energy_jump_ev",
            "stable_ps",
            "kink_ev_per_angstrom",
        ] {
            assert!(failed(id), "{name} passes {id}");
        }
        if name == "original" {
            let value = |id: &str, molecule: &str| {
                let gate = results.gates.iter().find(|g| g.id.name() == id && g.molecule == molecule);
                gate.and_then(|g| g.value).unwrap()
            };
            for (found, known) in
                [(value("rotation_energy", "water"), 0.13), (value("dimer_energy_jump", "C-O"), 0.5)]
            {
                assert!((found / known - 1.0).abs() < 0.1, "{found} for {known} eV");
            }
        }
        let broken = results.attributions.iter().find(|a| a.molecule == "water").unwrap();
        assert_eq!(broken.causes[0].kind, CauseKind::BrokenBond, "{broken:?}");
    }
}
