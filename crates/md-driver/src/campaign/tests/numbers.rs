//! Measurements of a short campaign, which may change only on purpose.
//!
//! Six digits are equal on all machines; the last bits are not. `mdproof compare` (`identical`) shows whether two
//! programs measure the same to the last bit on one machine.

use std::fmt::Write as _;

use md_testkit::defects::{Defect, Defective};

use super::*;

/// Values below this are rounding errors.
const ROUNDING: f64 = 1e-5;

fn written(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude < ROUNDING => format!("< {ROUNDING:e}"),
        _ => format!("{value:.5e}"),
    }
}

fn record(results: &Results) -> String {
    let mut text = String::new();
    let mut line = |place: &str, what: &str, value: Option<f64>| {
        let value = value.map_or("none".to_owned(), written);
        let _ = writeln!(text, "{place:<16} {what:<34} {value}");
    };
    for gate in results.gates.iter().filter(|gate| gate.not_applicable.is_none()) {
        line(&gate.molecule, gate.id.name(), gate.value);
    }
    for minimum in &results.relaxations {
        line(&minimum.molecule, "RMSD of the minimum, Å", minimum.rmsd_angstrom);
        for &frequency in &minimum.frequencies_per_cm {
            line(&minimum.molecule, "frequency, 1/cm", Some(frequency));
        }
    }
    for run in &results.runs {
        let energy = run.energy.as_ref();
        line(&run.molecule, "energy at the start, eV", energy.map(|e| e.initial_ev));
        line(&run.molecule, "largest deviation, meV/atom", energy.map(|e| e.max_deviation_mev_per_atom));
        line(&run.molecule, "mean temperature, K", run.temperature.as_ref().map(|t| t.mean_k));
        line(&run.molecule, "angular momentum, ħ", run.momentum.as_ref().map(|m| m.max_change_hbar));
    }
    for failure in &results.failures {
        let _ = writeln!(text, "failure: {failure:?}");
    }
    text
}

#[test]
fn campaign_numbers_of_control_and_planted_defects() {
    let planted = [
        ("sound", None),
        ("forces times 1.13", Some(Defect::ScaledForce { factor: 1.13 })),
        ("energies and forces times 1.13", Some(Defect::Units { factor: 1.13 })),
    ];
    let mut text = String::new();
    for (name, defect) in planted {
        let potential = move |systems: &[System]| -> Box<dyn Potential> {
            let sound = Control::new(systems).unwrap();
            match defect {
                Some(defect) => Box::new(Defective::new(sound, defect)),
                None => Box::new(sound),
            }
        };
        let (results, _) = measured_instead(&folder(), "cpu", Some(&potential));
        let _ = writeln!(text, "== {name}\n{}", record(&results));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn campaign_numbers_of_student_in_f64() {
    let folder = folder();
    let file = folder.path().join("c.toml");
    let student = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/checkpoints/ultra-tiny");
    let student =
        format!("checkpoint = \"{}\"\nprecision = \"f64\"", student.canonicalize().unwrap().display());
    let text = std::fs::read_to_string(&file).unwrap().replace("checkpoint = \"network\"", &student);
    std::fs::write(&file, text).unwrap();
    let (results, _) = measured_instead(&folder, "cpu", None);
    insta::assert_snapshot!(record(&results));
}
