//! Potentials that are right by construction, on thirty molecules: no check of theirs fails or is undecided.
//!
//! `tests/cases/g2.extxyz` has geometries of the G2 set (L. A. Curtiss, K. Raghavachari, P. C. Redfern, J. A. Pople, J. Chem. Phys.
//! 106, 1063 (1997)) as ASE 3.29 has them (`ase.collections.g2`): diatomic, linear, planar and spherical molecules, rings and chains.

use std::collections::BTreeMap;
use std::fmt::Write;

use md_core::System;
use md_driver::campaign::{Campaign, CampaignOptions};
use md_probe::analytic::Breakable;
use md_results::{Check, Results, Status};

use crate::support::repository;

/// Molecules by name.
fn molecules() -> Vec<(String, System)> {
    let text = std::fs::read_to_string(repository("tests/cases/g2.extxyz")).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("name=")?.split(' ').next());
    let frames = md_io::extxyz::read_frames(
        &repository("tests/cases/g2.extxyz"),
        &md_io::extxyz::LabelKeys::default(),
    );
    let systems = frames.unwrap().into_iter().map(|frame| frame.system);
    names.map(str::to_owned).zip(systems).collect()
}

/// Criteria that ask for labelled frames or for longer and more runs than these.
const NOT_ASKED: [&str; 6] =
    ["labelled_frames", "labelled_energies", "stable_ps", "replicas", "simulated_ps", "temperatures"];

/// Checks that are made on every molecule at least, of the control, too.
const FEWEST_PASSED: usize = 23;

#[test]
fn no_check_of_sound_potentials_fails_on_g2_molecules() {
    let molecules = molecules();
    assert_eq!(molecules.len(), 30);
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from(
        r#"
            [campaign]
            name = "g2"
            seed = 1
            [[model]]
            name = "control"
            analytic = "control"
            [[run]]
            ensemble = "nve"
            timestep_fs = 0.5
            duration_ps = 1.0
            temperatures_K = [300]
            replicas = 3
            [[run]]
            ensemble = "langevin"
            timestep_fs = 0.5
            duration_ps = 2.0
            temperatures_K = [300]
            replicas = 3
        "#,
    );
    for (name, system) in &molecules {
        let file = folder.path().join(format!("{name}.xyz"));
        std::fs::write(&file, xyz(system)).unwrap();
        write!(text, "[[molecule]]\nname = \"{name}\"\nstructure = \"{}\"\n", file.display()).unwrap();
    }
    let systems: Vec<System> = molecules.into_iter().map(|(_, system)| system).collect();
    let breakable = Breakable::new(&systems).unwrap();
    let campaign = folder.path().join("g2.toml");
    std::fs::write(&campaign, text).unwrap();
    let results = Campaign::builder()
        .options(CampaignOptions::new(campaign))
        .model("breakable", breakable)
        .open()
        .unwrap()
        .run()
        .unwrap();
    let wrong = not_passed(&results);
    for model in &results.models {
        assert_eq!(model.molecules.len(), 30, "{}", model.name);
        for molecule in &model.molecules {
            let of = |c: &&Check| c.molecule == *molecule && c.status == Status::Pass && is_asked(c);
            let passed = model.checks.iter().filter(of).count();
            assert!(passed >= FEWEST_PASSED, "{} {molecule}: {passed} checks were made", model.name);
        }
    }
    println!("{}", table(&results));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn xyz(system: &System) -> String {
    let mut text = format!("{}\n\n", system.n_atoms());
    for (element, x) in system.elements().iter().zip(system.positions()) {
        writeln!(text, "{} {} {} {}", element.symbol(), x.x, x.y, x.z).unwrap();
    }
    text
}

fn is_asked(check: &Check) -> bool {
    !matches!(check.status, Status::Skipped | Status::NotApplicable)
        && !NOT_ASKED.contains(&check.id.as_str())
}

fn not_passed(results: &Results) -> Vec<String> {
    let mut wrong = Vec::new();
    for model in &results.models {
        for check in model.checks.iter().filter(|check| is_asked(check) && check.status != Status::Pass) {
            wrong.push(format!(
                "{} {} {} {:?} {:?} {}",
                model.name, check.molecule, check.id, check.status, check.value, check.reason
            ));
        }
    }
    wrong
}

/// Passed of all checks of every molecule and model.
fn table(results: &Results) -> String {
    let mut rows: BTreeMap<&str, String> = BTreeMap::new();
    for model in &results.models {
        let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for check in model.checks.iter().filter(|check| is_asked(check)) {
            let [passed, all] = counts.entry(&check.molecule).or_default();
            *passed += usize::from(check.status == Status::Pass);
            *all += 1;
        }
        for (molecule, [passed, all]) in counts {
            let row = rows.entry(molecule).or_insert_with(|| format!("{molecule:16}"));
            write!(row, " {} {passed:2} of {all:2}", model.name).unwrap();
        }
    }
    rows.into_values().map(|row| row + "\n").collect()
}
