//! Verdicts that follow from gates.

use super::*;

/// Returns summary and failure modes of the sound model with the given values of gates.
fn modes_of(values: &[(&str, f64)]) -> (String, Vec<FailureMode>) {
    let mut results = sound();
    for (id, value) in values {
        results.gates.iter_mut().find(|g| g.id.name() == *id).unwrap().value = Some(*value);
    }
    judge(&mut results);
    let model = results.models.remove(0);
    (model.summary, model.failure_modes)
}

#[test]
fn failure_modes_name_gradient_only_where_measured() {
    const NO_GRADIENT: &str = "the force is not the gradient of the energy";
    let ids = |modes: &[FailureMode]| modes.iter().map(|m| m.id.clone()).collect::<Vec<String>>();
    for id in ["hessian_asymmetry", "loop_work"] {
        let (summary, modes) = modes_of(&[(id, 0.3)]);
        assert_eq!(ids(&modes), ["smoothness"], "{summary}");
        assert!(!modes[0].finding.contains(NO_GRADIENT), "{modes:?}");
        let (summary, modes) = modes_of(&[(id, 0.3), ("force_gradient", 0.2)]);
        assert_eq!(ids(&modes), ["gradient"], "{summary}");
        assert!(modes[0].finding.starts_with(NO_GRADIENT), "{modes:?}");
        assert!(summary.starts_with("gradient error of the forces = 0.2 eV/Å"), "{summary}");
        // A gate that was not measured did not pass.
        let mut results = sound();
        results.gates.retain(|g| g.id.name() != "force_gradient");
        results.gates.iter_mut().find(|g| g.id.name() == id).unwrap().value = Some(0.3);
        judge(&mut results);
        assert_eq!(ids(&results.models[0].failure_modes), ["gradient"]);
    }
    // Each molecule is judged separately.
    let mut results = sound();
    results.models[0].molecules.push("methane".into());
    let of_methane: Vec<Gate> = results
        .gates
        .iter()
        .filter(|g| g.molecule == "water")
        .map(|g| Gate { molecule: "methane".into(), ..g.clone() })
        .collect();
    results.gates.extend(of_methane);
    for gate in results.gates.iter_mut().filter(|g| g.id.name() == "hessian_asymmetry") {
        gate.value = Some(0.3);
    }
    results
        .gates
        .iter_mut()
        .find(|g| g.id.name() == "force_gradient" && g.molecule == "methane")
        .unwrap()
        .value = Some(0.2);
    judge(&mut results);
    let of_molecules = &results.models[0].failure_modes;
    assert_eq!(ids(of_molecules), ["gradient", "smoothness"]);
    let summary = &results.models[0].summary;
    assert_eq!(summary.matches("(limit: ").count(), 2, "a failure of each theme: {summary}");

    let (summary, modes) = modes_of(&[("repeatability_energy", 0.1)]);
    assert_eq!(ids(&modes), ["repeatability"], "{summary}");
    insta::assert_snapshot!(format!("{}\n{}", shown(of_molecules), shown(&modes)));
}

#[test]
fn gate_is_undecided_when_error_covers_limit() {
    let with = |id: &'static str, value: f64, error: f64| {
        move |r: &mut Results| {
            let gate = r.gates.iter_mut().find(|g| g.id.name() == id).unwrap();
            (gate.value, gate.standard_error) = (Some(value), Some(error));
        }
    };
    let asymmetry = |value, error| {
        check_of("hessian_asymmetry_ev_per_angstrom2", with("hessian_asymmetry", value, error))
    };
    assert_eq!(asymmetry(0.001, 0.002).status, Status::Pass);
    assert_eq!(asymmetry(0.001, 0.002).interval, Some([0.0, 0.003]));
    assert_eq!(asymmetry(0.17, 0.01).status, Status::Fail);
    let mut texts = Vec::new();
    for (value, error) in [(0.17, 0.17), (0.001, 0.05)] {
        let check = asymmetry(value, error);
        assert_eq!((check.status, check.standard_error), (Status::Undecided, Some(error)));
        // More replicas would decide nothing.
        texts.push(check.to_decide.unwrap());
        let (verdict, _, summary, outcome) = judged(with("hessian_asymmetry", value, error));
        assert_eq!((verdict, outcome), (Verdict::Incomplete, Outcome::Incomplete), "{summary}");
        texts.push(summary);
    }
    insta::assert_snapshot!(texts.join("\n"));
    for (id, key) in [("force_gradient", "force_gradient_ev_per_angstrom"), ("loop_work", "loop_work_ev")] {
        assert_eq!(check_of(key, with(id, 0.1, 0.01)).status, Status::Fail);
        assert_eq!(check_of(key, with(id, 0.1, 0.1)).status, Status::Undecided);
    }
    // NaN fails, whatever its error.
    let nan = |r: &mut Results| {
        let gate = r.gates.iter_mut().find(|g| g.id.name() == "hessian_asymmetry").unwrap();
        (gate.value, gate.standard_error) = (None, Some(1.0));
    };
    assert_eq!(check_of("hessian_asymmetry_ev_per_angstrom2", nan).status, Status::Fail);
}

/// Returns the check for production of a barrier of 0.5 eV along bonds, which is crossed in 1000 ns above 360 K.
fn along_bonds(change: impl FnOnce(&mut Results)) -> Check {
    let mut results = sound();
    let gate = results.gates.iter_mut().find(|g| g.id == GateId::BondBarrier).unwrap();
    (gate.value, gate.detail) = (Some(0.5), "C0-H1".to_owned());
    change(&mut results);
    judge(&mut results);
    let id = "bond_barrier_over_reach";
    results.models[0].checks.iter().find(|c| c.id == id && c.use_name == PRODUCTION).unwrap().clone()
}

#[test]
fn barrier_is_held_against_hottest_measured_temperature_and_time() {
    // k_B 300 K ln(1e7) = 0.4167 eV.
    let at_300 = along_bonds(|_| {});
    assert_eq!((at_300.status, at_300.unit.as_str()), (Status::Pass, ""));
    assert!((at_300.value.unwrap() - 0.5 / 0.416683).abs() < 1e-5, "{at_300:?}");
    assert_eq!(at_300.reason, "C0-H1; 0.4167 eV is in reach at 300 K in 1000 ns");
    let hotter = |r: &mut Results| r.runs.extend(two_replicas(400.0));
    assert_eq!(along_bonds(hotter).status, Status::Fail);
    // Longer is stricter; so short a time that there is no attempt asks for nothing.
    assert_eq!(along_bonds(|r| r.criteria[0].time_ns = 1e5).status, Status::Fail);
    assert_eq!(along_bonds(|r| r.criteria[0].time_ns = 1e-5).threshold, at_300.threshold);
    assert_eq!(
        along_bonds(|r| r.criteria[0].time_ns = 1e-5).reason,
        at_300.reason,
        "production has 1000 ns at least"
    );
    let mut results = sound();
    results.criteria[1].time_ns = 1e-5;
    judge(&mut results);
    let of_screening = |c: &&Check| c.id == "bond_barrier_over_reach" && c.use_name == "screening";
    let found = results.models[0].checks.iter().find(of_screening).unwrap();
    assert_eq!(found.status, Status::NotApplicable);
    // Runs that are hotter than the use, off their temperature or not at constant energy are no evidence.
    let restricted = |r: &mut Results| {
        hotter(r);
        r.criteria[0].max_temperature_k = Some(300.0);
    };
    assert_eq!(along_bonds(restricted).status, Status::Pass);
    let off = |r: &mut Results| r.runs.push(Run { temperature: at(500.0), temperature_k: 400.0, ..run() });
    assert_eq!(along_bonds(off).status, Status::Pass);
    // A run that diverged got hot by that.
    let diverged = |r: &mut Results| {
        r.runs.push(Run { temperature: at(5000.0), fate: RunFate::Diverged, ..run() });
    };
    assert_eq!(along_bonds(diverged).status, Status::Pass);
}

#[test]
fn barrier_is_skipped_where_reach_is_unknown_or_above_search() {
    let none = along_bonds(|r| r.runs.clear());
    assert_eq!(none.status, Status::Skipped);
    assert_eq!(none.reason, "no NVE runs");
    let off = along_bonds(|r| r.runs.iter_mut().for_each(|run| run.temperature = at(150.0)));
    assert_eq!(off.status, Status::Skipped);
    assert!(off.reason.starts_with("no NVE run is at its temperature"), "{}", off.reason);
    assert_eq!(along_bonds(|r| r.runs[0].temperature = None).status, Status::Skipped);
    let at_the_end = |time_ns| {
        along_bonds(|r| {
            r.gates.iter_mut().filter(|g| g.id == GateId::BondBarrier).for_each(|g| g.value = Some(3.0));
            r.runs.extend(two_replicas(2000.0));
            r.criteria[0].time_ns = time_ns;
        })
    };
    // 2.78 and 3.97 eV.
    assert_eq!(at_the_end(1e3).status, Status::Pass);
    assert_eq!(at_the_end(1e6).status, Status::Skipped);
}

#[test]
fn barrier_is_undecided_where_its_error_covers_the_reach() {
    let with_error = |error| {
        along_bonds(|r| {
            let gate = r.gates.iter_mut().find(|g| g.id == GateId::BondBarrier).unwrap();
            gate.standard_error = Some(error);
        })
    };
    assert_eq!(with_error(0.01).status, Status::Pass);
    assert_eq!(with_error(0.1).status, Status::Undecided);
}

#[test]
fn replaced_criterion_names_new_one() {
    let mut results = sound();
    let threshold = Threshold::new(2.0, ThresholdSource::Default);
    results.criteria[0].thresholds.insert("dimer_wall_ev".to_owned(), threshold);
    judge(&mut results);
    let check = results.models[0].checks.iter().find(|c| c.id == "dimer_wall_ev").unwrap();
    assert_eq!(check.status, Status::Skipped);
    assert!(check.reason.ends_with("dimer_barrier_over_reach replaces it"), "{}", check.reason);
}
