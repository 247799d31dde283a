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
