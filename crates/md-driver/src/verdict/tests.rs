use std::collections::BTreeMap;

use md_io::results::{
    Campaign, CriteriaSet, Evaluation, Failure, ForceErrors, Gate, Model, Molecule, Provenance, Role,
    RunEnergy, RunStability, Speed, Stage,
};

use super::*;

/// The evidence of a model without fault: one molecule, one run of 10 ps.
fn sound() -> Results {
    let thresholds: BTreeMap<String, Threshold> = criteria::ALL
        .iter()
        .filter_map(|c| {
            Some((c.key.to_owned(), Threshold { value: c.default?, source: ThresholdSource::Default }))
        })
        .collect();
    let mut screening = thresholds.clone();
    screening.get_mut("stable_ps").unwrap().value = 1.0;
    Results {
        schema_version: md_io::results::SCHEMA_VERSION,
        campaign: Campaign {
            name: "test".into(),
            config_sha256: String::new(),
            seed: 1,
            started: String::new(),
            finished: String::new(),
            only: Vec::new(),
        },
        provenance: Provenance {
            mdproof_version: String::new(),
            git_commit: None,
            cpu: None,
            threads: 1,
            device_requested: "cpu".into(),
            device_used: "cpu".into(),
        },
        criteria: vec![
            CriteriaSet { name: PRODUCTION.into(), thresholds },
            CriteriaSet { name: "screening".into(), thresholds: screening },
        ],
        molecules: vec![Molecule {
            name: "water".into(),
            atoms: 3,
            structure_sha256: String::new(),
            bonds: 2,
        }],
        models: vec![Model {
            name: "m".into(),
            role: Role::Candidate,
            architecture: String::new(),
            precision: "f64".into(),
            parameters: None,
            checkpoint_sha256: None,
            elements: Vec::new(),
            molecules: vec!["water".into()],
            verdict: None,
            expected: Some(Verdict::Approved),
            uses: Vec::new(),
            summary: String::new(),
            envelope: Envelope::default(),
            checks: Vec::new(),
        }],
        relaxations: Vec::new(),
        gates: criteria::ALL
            .iter()
            .filter_map(|c| match c.evidence {
                Evidence::Gate(id) => Some(gate(id)),
                Evidence::Function(_) => None,
            })
            .collect(),
        runs: vec![run()],
        evaluations: vec![evaluation()],
        speed: vec![speed()],
        failures: Vec::new(),
    }
}

fn gate(id: &str) -> Gate {
    Gate {
        id: id.into(),
        model: "m".into(),
        molecule: "water".into(),
        value: Some(1e-12),
        standard_error: None,
        unit: String::new(),
    }
}

fn run() -> Run {
    Run {
        id: "r".into(),
        model: "m".into(),
        molecule: "water".into(),
        ensemble: "nve".into(),
        temperature_k: 300.0,
        timestep_fs: 0.5,
        replica: 0,
        seed: 1,
        steps_planned: 20_000,
        steps_done: 20_000,
        fate: RunFate::Finished,
        fate_reason: None,
        energy: Some(RunEnergy {
            initial_ev: -10.0,
            drift_percent: Some(0.01),
            max_deviation_percent: Some(0.02),
            max_deviation_mev_per_atom: 1.0,
            drift_mev_per_atom_per_ps: Some(0.01),
            drift_standard_error: Some(0.001),
            rms_fluctuation_mev_per_atom: 0.1,
            conservation_ratio: Some(1.0),
            kinetic_potential_correlation: Some(-1.0),
        }),
        temperature: None,
        angular_momentum: None,
        stability: Some(RunStability {
            first_broken_bond_ps: None,
            first_broken_bond: None,
            max_bond_ratio: Some(1.1),
            max_rmsd_angstrom: 0.2,
        }),
        anomalies: Vec::new(),
        ms_per_step: None,
    }
}

fn evaluation() -> Evaluation {
    Evaluation {
        model: "m".into(),
        molecule: Some("water".into()),
        frames: "water.extxyz".into(),
        sha256: String::new(),
        n_frames: 100,
        force: Some(ForceErrors {
            n_frames: 100,
            n_atoms: 300,
            rmse_ev_per_angstrom: 0.03,
            rmse_standard_error_ev_per_angstrom: Some(0.001),
            mae_ev_per_angstrom: 0.02,
            max_ev_per_angstrom: 0.1,
            rmse_xyz_ev_per_angstrom: [0.03; 3],
            r2: Some(0.99),
            r2_xyz: [Some(0.99); 3],
            reference_rms_ev_per_angstrom: 1.0,
            angle_median_deg: Some(2.0),
            angle_p95_deg: Some(9.0),
            n_without_direction: 0,
            n_missed_direction: 0,
            cosine_mean: Some(0.99),
            magnitude_mae_ev_per_angstrom: 0.02,
            rmse_by_element_ev_per_angstrom: BTreeMap::new(),
        }),
        energy: None,
    }
}

fn speed() -> Speed {
    Speed {
        model: "m".into(),
        molecule: "water".into(),
        atoms: 3,
        batch: 1,
        device: "cpu".into(),
        path: "p".into(),
        ms_per_call_p50: 1.0,
        ms_per_call_p99: 1.0,
        calls: 100,
        ms_per_step: 1.0,
        steps_per_s: 1000.0,
        cold_100_steps_s: 0.1,
        peak_memory_mib: None,
        speedup_vs_first: 1.0,
    }
}

/// Verdict, uses that hold, summary and outcome of the sound evidence after `change`.
fn judged(change: impl Fn(&mut Results)) -> (Verdict, Vec<String>, String, Outcome) {
    let mut results = sound();
    change(&mut results);
    judge(&mut results);
    let outcome = outcome(&results);
    let model = results.models.remove(0);
    (model.verdict.unwrap(), model.uses, model.summary, outcome)
}

#[test]
fn sound_evidence_is_approved() {
    let (verdict, uses, summary, outcome) = judged(|_| {});
    assert_eq!((verdict, outcome), (Verdict::Approved, Outcome::Met), "{summary}");
    assert_eq!(uses, [PRODUCTION, "screening"]);
}

/// Takes away part of the evidence.
type Removal = fn(&mut Results);

#[test]
fn whatever_is_missing_nothing_is_approved() {
    let removals: [(Removal, &str); 9] = [
        (|r| r.runs.clear(), "no runs"),
        (|r| r.runs[0].energy = None, "has no such number"),
        (|r| r.runs[0].stability = None, "has no such number"),
        (|r| r.evaluations.clear(), "give the molecule 'water' a `reference`"),
        (|r| r.evaluations[0].force = None, "give the molecule 'water' a `reference`"),
        (|r| r.speed.clear(), "speed was not measured"),
        (|r| r.gates.clear(), "the gate was not measured"),
        (|r| r.runs[0].fate = RunFate::Failed, "could not be made"),
        (
            |r| {
                let failure = ("m".to_owned(), Some("water".to_owned()), "out of memory".to_owned());
                r.speed.clear();
                r.failures.push(Failure {
                    model: failure.0,
                    molecule: failure.1,
                    stage: Stage::Speed,
                    reason: failure.2,
                });
            },
            "out of memory",
        ),
    ];
    for (remove, reason) in removals {
        let (verdict, uses, summary, outcome) = judged(remove);
        assert_eq!((verdict, outcome), (Verdict::Incomplete, Outcome::Incomplete), "{reason}");
        assert!(summary.contains(reason) && uses.is_empty(), "{summary}");
    }
    let (verdict, ..) = judged(|r| r.models[0].molecules.clear());
    assert_eq!(verdict, Verdict::Incomplete, "no molecules are no evidence");
    let (verdict, ..) = judged(|r| r.models[0].molecules.push("methane".into()));
    assert_eq!(verdict, Verdict::Incomplete, "every molecule that was asked for counts");
}

#[test]
fn a_failure_of_every_use_rejects_whatever_else_is_missing() {
    for spoil in [
        (|r: &mut Results| r.gates[0].value = Some(0.1)) as Removal,
        |r| r.gates[0].value = None,
        |r| r.runs[0].energy.as_mut().unwrap().drift_percent = Some(-1.5),
        |r| r.speed[0].ms_per_step = f64::NAN,
    ] {
        let (verdict, uses, summary, outcome) = judged(spoil);
        assert_eq!((verdict, outcome), (Verdict::Rejected, Outcome::NotMet), "{summary}");
        assert!(uses.is_empty());
        let (verdict, ..) = judged(|r| {
            spoil(r);
            r.evaluations.clear();
        });
        assert_eq!(verdict, Verdict::Rejected);
    }
}

#[test]
fn a_model_that_holds_for_another_use_is_restricted_to_it() {
    let dies_at_2_ps = |r: &mut Results| {
        r.runs[0].steps_done = 4000;
        r.runs[0].fate = RunFate::Diverged;
        r.runs[0].fate_reason = Some("the bond 0-1 stretched".into());
    };
    let (verdict, uses, summary, outcome) = judged(dies_at_2_ps);
    assert_eq!((verdict, outcome), (Verdict::Restricted, Outcome::NotMet));
    assert_eq!(uses, ["screening"]);
    assert!(summary.contains("NVE without divergence is 2 ps on water (>= 10 asked)"), "{summary}");

    let (verdict, uses, ..) = judged(|r| {
        dies_at_2_ps(r);
        r.evaluations.clear();
    });
    assert_eq!(
        (verdict, uses.len()),
        (Verdict::Incomplete, 0),
        "screening might hold, but nobody measured it"
    );
}

#[test]
fn an_observation_that_ended_too_soon_is_no_pass_and_no_failure() {
    let survived = |steps: u64| {
        move |r: &mut Results| {
            r.runs[0].steps_done = steps;
            r.runs[0].steps_planned = steps;
        }
    };
    assert_eq!(judged(survived(4000)).0, Verdict::Incomplete);
    assert_eq!(judged(survived(4000)).1, ["screening"]);
    // A long life cut short does not excuse a short one that was not.
    let (verdict, ..) = judged(|r| {
        r.runs.push(Run { fate: RunFate::Diverged, steps_done: 30_000, ..run() });
        survived(4000)(r);
    });
    assert_eq!(verdict, Verdict::Incomplete);
}

#[test]
fn an_expected_rejection_is_met_and_a_failing_control_is_not() {
    let (.., outcome) = judged(|r| {
        r.gates[0].value = Some(0.1);
        r.models[0].expected = Some(Verdict::Rejected);
    });
    assert_eq!(outcome, Outcome::Met);

    let mut results = sound();
    results.models[0] = Model { role: Role::Control, expected: None, ..results.models[0].clone() };
    judge(&mut results);
    assert_eq!(super::outcome(&results), Outcome::Incomplete, "a control is no model");
    assert_eq!(results.models[0].verdict, None);
    results.runs[0].energy.as_mut().unwrap().drift_mev_per_atom_per_ps = Some(50.0);
    judge(&mut results);
    assert_eq!(super::outcome(&results), Outcome::NotMet);
    assert!(results.models[0].summary.starts_with("THE ENGINE FAILS"), "{}", results.models[0].summary);
}

#[test]
fn an_engine_that_was_not_fully_checked_leaves_the_campaign_incomplete() {
    let with_control = |change: fn(&mut Results)| {
        let mut results = sound();
        let control =
            Model { name: "c".into(), role: Role::Control, expected: None, ..results.models[0].clone() };
        let of_control = |id: &str| Gate { model: "c".into(), ..gate(id) };
        let gates: Vec<Gate> = results.gates.iter().map(|g| of_control(&g.id)).collect();
        results.gates.extend(gates);
        results.runs.push(Run { model: "c".into(), ..run() });
        results.models.push(control);
        change(&mut results);
        judge(&mut results);
        outcome(&results)
    };
    assert_eq!(with_control(|_| {}), Outcome::Met);
    assert_eq!(with_control(|r| r.runs.retain(|run| run.model != "c")), Outcome::Incomplete);
}

#[test]
fn numbers_are_written_as_people_write_them() {
    for (value, text) in [
        (0.0, "0"),
        (10.0, "10"),
        (0.2, "0.2"),
        (1.23456, "1.235"),
        (-0.05, "-0.05"),
        (12345.6, "12346"),
        (1e-4, "1e-4"),
    ] {
        assert_eq!(number(value), text);
    }
}
