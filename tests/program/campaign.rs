//! Campaigns end to end.

use std::path::Path;

use md_core::State;
use md_io::extxyz::{self, FrameToWrite, LabelKeys};
use md_model::{Checkpoint, Precision, Student};
use md_results::{Results, Role, RunFate, Status, Verdict};

use crate::bad_input::checkpoint;
use crate::support::{Output, mdproof, repository};

fn validate(config: &Path, out: &Path, more: &[&str]) -> Output {
    let mut arguments =
        vec!["validate".into(), config.as_os_str().to_owned(), "--out".into(), out.as_os_str().to_owned()];
    arguments.extend(more.iter().map(Into::into));
    mdproof(arguments)
}

#[test]
fn validate_control_alone_passes_engine_and_approves_none() {
    let out = tempfile::tempdir().unwrap();
    let output = validate(&repository("configs/smoke.toml"), out.path(), &[]);
    assert_eq!(output.status, 3, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("no model was judged"), "{}", output.stdout);
    assert!(
        output.stdout.contains("passes every check of the engine (this approves no model)"),
        "{}",
        output.stdout
    );
    assert!(!output.stdout.contains("APPROVED"), "{}", output.stdout);

    let results = Results::read(&out.path().join("results.json")).unwrap();
    let [control] = results.models.as_slice() else { panic!("one model") };
    assert_eq!((control.role, control.verdict), (Role::Control, None));
    assert!(control.checks.iter().all(|c| c.status == Status::Pass), "{:#?}", control.checks);
    assert_eq!(results.runs.len(), 3 * 2);
    assert!(results.runs.iter().all(|r| r.fate == RunFate::Finished && r.steps_done == 200));
    let performance: md_results::Performance =
        serde_json::from_slice(&std::fs::read(out.path().join("md_performance_results.json")).unwrap())
            .unwrap();
    assert_eq!((performance.speed.len(), performance.machine), (3, results.machine));
}

/// Runs `mdproof report`, `status` and `compare` on a campaign of a rejected model.
fn assert_reports_follow_from_the_records(out: &Path, results: &Results) {
    let files = ["report.html", "report.md", "junit.xml", "plots/time_against_size.svg"].map(|f| out.join(f));
    let texts = files.each_ref().map(|file| std::fs::read_to_string(file).unwrap());
    for text in &texts[..3] {
        assert!(text.contains("random") && text.contains("energy change on rotation"));
    }
    let summary = &results.models.iter().find(|m| m.name == "random").unwrap().summary;
    assert!(texts[1].contains(summary.split(',').next().unwrap()), "{}", texts[1]);
    for id in ["energy", "temperature", "dimer", "rotation_scan", "cutoff_scan"] {
        assert!(results.series.iter().any(|s| s.id.name() == id && s.model == "random"), "{id}");
    }
    files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    let again = mdproof(["report".as_ref(), out.as_os_str()]);
    assert_eq!((again.status, again.stderr.as_str()), (0, ""));
    assert_eq!(files.map(|file| std::fs::read_to_string(file).unwrap()), texts);

    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(out.join("results.json"), alone.path().join("results.json")).unwrap();
    let report = mdproof(["report".as_ref(), alone.path().as_os_str()]);
    assert_eq!((report.status, report.stderr.as_str()), (0, ""));
    assert!(alone.path().join("report.html").exists());

    let status = mdproof(["status".as_ref(), out.as_os_str(), "--format".as_ref(), "standup".as_ref()]);
    assert_eq!(status.status, 0, "{}", status.stderr);
    for heading in ["Completed", "Plan", "Blockers", "Metrics", "Next"] {
        assert!(status.stdout.contains(heading), "{}", status.stdout);
    }
    let json = mdproof(["status".as_ref(), out.as_os_str(), "--format".as_ref(), "json".as_ref()]);
    serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap();

    assert_compare_follows_from_the_measurements(out, results);
}

/// Asserts that `mdproof compare` detects claims that contradict the measurements, and measurements that got worse.
fn assert_compare_follows_from_the_measurements(out: &Path, results: &Results) {
    let compare = |after: &Path| mdproof(["compare".as_ref(), out.as_os_str(), after.as_os_str()]);
    let edited = |edit: &dyn Fn(&mut Results)| {
        let mut edited = results.clone();
        edit(&mut edited);
        let file = out.join("edited.json");
        edited.write(&file).unwrap();
        let output = compare(&file);
        let json = mdproof(["compare", out.to_str().unwrap(), file.to_str().unwrap(), "--format", "json"]);
        assert_eq!(json.status, output.status, "{}", json.stderr);
        let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        std::fs::remove_file(&file).unwrap();
        (output, json)
    };
    let same = compare(out);
    assert_eq!(same.status, 0, "{}{}", same.stdout, same.stderr);
    assert!(same.stdout.starts_with("no change\n"), "{}", same.stdout);

    let random = |results: &Results| results.models.iter().position(|m| m.name == "random").unwrap();
    let passed = |r: &Results| {
        let checks = &r.models[random(r)].checks;
        checks
            .iter()
            .position(|c| c.id == "force_gradient_ev_per_angstrom" && c.status == Status::Pass)
            .unwrap()
    };
    for (what, edit) in [
        (
            "a check",
            &(|r: &mut Results| {
                let (model, check) = (random(r), passed(r));
                let check = &mut r.models[model].checks[check];
                (check.status, check.value) = (Status::Fail, Some(1e3 * check.threshold));
            }) as &dyn Fn(&mut Results),
        ),
        ("a verdict", &|r: &mut Results| {
            let model = random(r);
            r.models[model].verdict = Some(Verdict::Approved);
        }),
    ] {
        let (output, json) = edited(edit);
        assert_eq!(output.status, 3, "{what}: {}{}", output.stdout, output.stderr);
        assert!(output.stdout.starts_with("NOT COMPARABLE: AFTER: "), "{what}: {}", output.stdout);
        assert!(output.stdout.contains("changed by hand"), "{what}: {}", output.stdout);
        assert_eq!(json["outcome"], "not_comparable");
    }

    let all_gates = |r: &mut Results| {
        for gate in &mut r.gates {
            gate.value = gate.value.map(|v| 1e4 * v + 1.0);
        }
        for energy in r.runs.iter_mut().filter_map(|run| run.energy.as_mut()) {
            energy.drift_mev_per_atom_per_ps = Some(1e3);
        }
    };
    let (output, json) = edited(&all_gates);
    assert_eq!((output.status, json["outcome"].as_str()), (1, Some("regression")), "{}", output.stdout);
    assert!(output.stdout.starts_with("REGRESSION: "), "{}", output.stdout);
    assert!(output.stdout.contains("force_gradient_ev_per_angstrom"), "{}", output.stdout);
    let n = results.gates.iter().filter(|g| g.value.is_some()).count();
    for words in [
        format!("{n} of {} gates differ, largest: ", results.gates.len()),
        "runs differ, largest: ".to_owned(),
    ] {
        assert!(output.stdout.contains(&words), "{words}: {}", output.stdout);
    }

    let (output, _) = edited(&|r: &mut Results| r.campaign.finished.clear());
    assert_eq!(output.status, 3, "{}", output.stdout);
    assert!(output.stdout.starts_with("NOT COMPARABLE: the second is unfinished"), "{}", output.stdout);
    let (output, json) = edited(&|r: &mut Results| {
        let last = r.runs.pop().unwrap();
        r.gates.retain(|gate| gate.model != last.model);
    });
    assert_eq!(output.status, 3, "{}", output.stdout);
    assert!(json["reasons"].to_string().contains("gates missing in the second"), "{json}");
    let mut without = results.clone();
    without.models.retain(|m| m.name != "random");
    let file = out.join("edited.json");
    without.write(&file).unwrap();
    let output = compare(&file);
    assert_eq!(output.status, 2, "{}", output.stdout);
    assert!(output.stderr.contains("its model 'random' is not among the models"), "{}", output.stderr);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(compare(&out.join("nothing.json")).status, 2);
}

#[test]
fn validate_rejects_random_network_and_verdict_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("network");
    std::fs::create_dir(&network).unwrap();
    checkpoint(&network);
    let out = folder.path().join("out");
    let model = format!("random={}", network.display());
    let output = validate(&repository("configs/smoke.toml"), &out, &["--model", &model, "--device", "auto"]);
    assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("REJECTED"), "{}", output.stdout);
    // The tests are built without CUDA.
    assert!(output.stdout.contains("computed on the cpu: there is no CUDA device"), "{}", output.stdout);

    let file = out.join("results.json");
    let results = Results::read(&file).unwrap();
    let judged = results.models.iter().find(|m| m.name == "random").unwrap();
    assert_eq!(judged.verdict, Some(Verdict::Rejected));
    let status =
        |id: &str| judged.checks.iter().find(|c| c.id == id && c.molecule == "alanine").unwrap().status;
    assert_eq!(status("force_gradient_ev_per_angstrom"), Status::Pass);
    assert_eq!(status("translation_energy_ev"), Status::Pass);
    assert_eq!(status("equivalence_force_ev_per_angstrom"), Status::Pass);
    assert_eq!(status("permutation_energy_ev"), Status::Pass);
    assert_eq!(status("rotation_energy_ev"), Status::Fail, "the form mixes Cartesian components");
    assert_eq!(status("force_rmse_ev_per_angstrom"), Status::Skipped, "there are no reference frames");

    let again = mdproof(["verdict".as_ref(), file.as_os_str()]);
    assert_eq!(again.status, output.status);
    assert!(output.stdout.starts_with(&again.stdout), "{}\n{}", output.stdout, again.stdout);

    assert_reports_follow_from_the_records(&out, &results);

    let refused = validate(&repository("configs/smoke.toml"), &out, &["--model", &model]);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("already holds results"), "{}", refused.stderr);
}

/// Writes water at its structure and at two displaced geometries, labelled by the network of `folder` with forces
/// increased by one percent.
fn labelled_by(folder: &Path, frames: &Path) {
    let checkpoint = Checkpoint::load(folder).unwrap();
    let mut student = Student::new(&checkpoint, Precision::F64).unwrap();
    let water = extxyz::read_system(&repository("data/molecules/water.xyz")).unwrap();
    let mut file = Vec::new();
    for shift in [0.0, 0.02, -0.03] {
        let mut positions = water.positions().to_vec();
        positions[1].x += shift;
        let state =
            State::at_rest(&[water.clone().with_positions(positions).unwrap()], &mut student).unwrap();
        let mut frame = FrameToWrite::new(water.elements(), state.positions());
        frame.energy_ev = Some(state.potential_energy_ev(0));
        let forces: Vec<_> = state.evaluation().forces.iter().map(|f| 1.01 * f).collect();
        frame.forces = Some(&forces);
        extxyz::write_frame(&mut file, &frame).unwrap();
    }
    std::fs::write(frames, file).unwrap();
}

#[test]
fn validate_compares_forces_and_writes_trajectories() {
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("network");
    std::fs::create_dir(&network).unwrap();
    checkpoint(&network);
    labelled_by(&network, &folder.path().join("water.extxyz"));
    let config = folder.path().join("campaign.toml");
    let structure = repository("data/molecules/water.xyz");
    let text = format!(
        r#"
            [campaign]
            name = "labelled"
            seed = 3
            [[model]]
            name = "random"
            checkpoint = "network"
            [[molecule]]
            name = "water"
            structure = "{}"
            reference = "water.extxyz"
            [[run]]
            ensemble = "nve"
            timestep_fs = 0.01
            duration_ps = 0.0005
            temperatures_K = [300]
            replicas = 1
            relax = false
            record_every_fs = 0.15
            trajectory_every_fs = 0.1
        "#,
        structure.display()
    );
    std::fs::write(&config, text).unwrap();
    let out = folder.path().join("out");
    let output = validate(&config, &out, &[]);
    assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);

    let results = Results::read(&out.join("results.json")).unwrap();
    let evaluation = &results.evaluations[0];
    assert_eq!((evaluation.n_frames, evaluation.molecule.as_deref()), (3, Some("water")));
    let force = evaluation.force.as_ref().unwrap();
    let relative = force.rmse_ev_per_angstrom / force.reference_rms_ev_per_angstrom;
    let off = relative - 0.01 / 1.01;
    assert!(off != 0.0 && off.abs() < 1e-5, "f32 against f64 labels: {off}");
    let check = results.models[0].checks.iter().find(|c| c.id == "force_rmse_ev_per_angstrom").unwrap();
    assert_eq!((check.status, check.value), (Status::Pass, Some(force.rmse_ev_per_angstrom)));

    // The last step was not recorded.
    assert_eq!((results.runs[0].steps_done, results.runs[0].energy.is_some()), (50, true));

    let mut files = std::fs::read_dir(out.join("trajectories")).unwrap();
    let trajectory = files.next().unwrap().unwrap().path();
    let frames = extxyz::read_frames(&trajectory, &LabelKeys::default()).unwrap();
    assert_eq!(frames.len(), 6, "steps 0, 10, ... 50");
    assert!(frames.iter().all(|f| f.energy_ev.is_some() && f.forces.is_some() && f.velocities.is_some()));
}

#[test]
fn validate_twice_gives_same_physics() {
    let folder = tempfile::tempdir().unwrap();
    let runs = ["a", "b"].map(|name| {
        let out = folder.path().join(name);
        validate(&repository("configs/smoke.toml"), &out, &["--only", "molecule=water"]);
        let mut results = Results::read(&out.join("results.json")).unwrap();
        results.runs.iter_mut().for_each(|r| r.ms_per_step = None);
        (results.runs, results.gates, results.relaxations)
    });
    assert_eq!(runs[0].0.len(), 2, "--only leaves the two replicas of water");
    assert_ne!(runs[0].0[0].energy, runs[0].0[1].energy, "replicas differ");
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn validate_only_names_runs_left_out_and_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let model = format!("student={}", repository("data/checkpoints/ultra-tiny").display());
    let only = ["--model", &model, "--only", "molecule=water", "--only", "replica=0"];
    let output = validate(&repository("configs/smoke.toml"), folder.path(), &only);
    assert_eq!(output.status, 3, "{}{}", output.stdout, output.stderr);
    let results = Results::read(&folder.path().join("results.json")).unwrap();
    assert_eq!(results.runs.len(), 2, "the student's and the control's");
    let student = results.models.iter().find(|m| m.name == "student").unwrap();
    assert_eq!(student.verdict, Some(Verdict::Incomplete));
    for (molecule, left_out) in
        [("water", "nve at 300 K, replica 1"), ("alanine", "nve at 300 K, replica 0, 1")]
    {
        let check = |c: &&md_results::Check| c.id == "runs_left_out" && c.molecule == molecule;
        let check = student.checks.iter().find(check).unwrap();
        assert_eq!((check.status, check.reason.as_str()), (Status::Skipped, left_out));
    }
}

#[test]
fn validate_without_checkpoint_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let smoke = std::fs::read_to_string(repository("configs/smoke.toml")).unwrap();
    let data = format!("\"{}/", repository("data").display());
    let config = folder.path().join("slots.toml");
    let (head, _) = smoke.split_once("[[molecule]]\nname = \"methane\"").unwrap();
    let (_, run) = smoke.split_once("[[run]]").unwrap();
    let water_only = format!("{head}[[run]]{run}").replace("\"../data/", &data);
    let slot = "\n[[model]]\nname = \"tiny\"\nexpect = \"rejected\"\n";
    std::fs::write(&config, water_only + slot).unwrap();

    let output = validate(&config, &folder.path().join("without"), &[]);
    assert_eq!(output.status, 3, "{}{}", output.stdout, output.stderr);
    assert!(
        output.stdout.contains("INCOMPLETE") && output.stdout.contains("give --model tiny=CHECKPOINT"),
        "{}",
        output.stdout
    );

    let network = folder.path().join("network");
    std::fs::create_dir(&network).unwrap();
    checkpoint(&network);
    let model = format!("tiny={}", network.display());
    let output = validate(&config, &folder.path().join("with"), &["--model", &model]);
    assert_eq!(output.status, 0, "a rejection that is expected is met: {}{}", output.stdout, output.stderr);
}

#[test]
fn evaluate_reports_errors_and_json_of_schema() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    let frames = folder.path().join("frames.extxyz");
    let mut text = String::new();
    for (frame, shift) in [0.0, 0.02, -0.03].into_iter().enumerate() {
        text += "3\nProperties=species:S:1:pos:R:3:dft_forces:R:3 dft_energy=";
        text += &format!("{}\n", -76.0 + 0.1 * frame as f64);
        text += &format!(
            "O 0.0 0.0 {shift} 0.0 0.0 0.1\nH 0.96 0.0 0.0 0.2 0.0 0.0\nH -0.24 0.93 0.0 -0.2 0.0 -0.1\n"
        );
    }
    std::fs::write(&frames, text).unwrap();
    let keys = ["--energy-key", "dft_energy", "--forces-key", "dft_forces"];
    let command = |more: &[&str]| {
        let mut arguments =
            vec!["evaluate".into(), folder.path().as_os_str().to_owned(), frames.as_os_str().to_owned()];
        arguments.extend(more.iter().map(Into::into));
        mdproof(arguments)
    };

    let output = command(&[&keys[..], &["--json"]].concat());
    assert_eq!(output.status, 0, "{}", output.stderr);
    let evaluation: md_results::Evaluation = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(evaluation.n_frames, 3);
    let force = evaluation.force.unwrap();
    assert_eq!((force.n_frames, force.n_atoms), (3, 9));
    let reference_rms = ((0.01 + 0.04 + 0.05) / 9.0_f64).sqrt();
    assert!((force.reference_rms_ev_per_angstrom - reference_rms).abs() < 1e-12);
    assert_eq!(evaluation.energy.unwrap().n_frames, 3);

    let output = command(&keys);
    assert!(
        output.stdout.contains("force RMSE") && output.stdout.contains("shift removed, H2O"),
        "{}",
        output.stdout
    );
    let output = command(&[]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("--forces-key"), "{}", output.stderr);
}

#[test]
fn bench_compares_models_with_first() {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    let model = |name: &str| format!("{name}={}", folder.path().display());
    let out = folder.path().join("speed");
    let output = mdproof([
        "bench".into(),
        repository("data/molecules/water.xyz").into_os_string(),
        "--model".into(),
        model("first").into(),
        "--model".into(),
        model("second").into(),
        "--batch".into(),
        "1,4".into(),
        "--implementation".into(),
        "fast,plain".into(),
        "--device".into(),
        "cuda".into(),
        "--json".into(),
        "--out".into(),
        out.clone().into_os_string(),
    ]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let performance: md_results::Performance = serde_json::from_str(&output.stdout).unwrap();
    assert!(performance.speed.iter().all(|r| r.device == "cpu"));
    let rows = &performance.speed;
    let measured: Vec<_> = rows.iter().map(|r| (r.model.as_str(), r.path.as_str(), r.batch)).collect();
    let of = |model| {
        [
            (model, "native-f32", 1),
            (model, "native-f32", 4),
            (model, "burn-flex-f32", 1),
            (model, "burn-flex-f32", 4),
        ]
    };
    assert_eq!(measured, [of("first"), of("second")].concat());
    // Each is relative to the first implementation of the first model in the same batch.
    assert_eq!((rows[0].speedup_vs_first, rows[1].speedup_vs_first), (1.0, 1.0));
    for (row, base) in [(2, 0), (3, 1), (4, 0), (7, 1)] {
        let expected = rows[base].ms_per_step / rows[row].ms_per_step;
        assert!((rows[row].speedup_vs_first - expected).abs() < 1e-12, "{row}");
    }
    assert_eq!(performance.machine[0].threads, 1);
    for row in rows {
        let achieved = row.gflop_per_call.unwrap() / (1e-3 * row.ms_per_call_p50);
        assert!((row.gflop_per_s.unwrap() / achieved - 1.0).abs() < 1e-12);
        assert!(row.fraction_of_gemm_rate.unwrap() > 0.0);
    }
    let written = std::fs::read_to_string(out.join("md_performance_results.json")).unwrap();
    assert_eq!(written, output.stdout);
    for plot in ["time_against_size", "speed_against_model", "memory", "batch_throughput"] {
        let svg = std::fs::read_to_string(out.join(format!("{plot}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("first"), "{plot}: {svg}");
    }
}
