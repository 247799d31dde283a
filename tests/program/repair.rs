//! Files of a campaign that are damaged, shortened or gone, and signals at its begin.
#![cfg(unix)]

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use md_results::Results;

use crate::resume::{Campaign, assert_outcome, ended_within, outcome};

/// `O_NONBLOCK` of Linux and of macOS.
const NONBLOCK: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 4 };

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let target = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}

/// Returns the files of an output folder, of plots and trajectories one each.
fn files(out: &Path, inside: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(out.join(inside)).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        let name = inside.join(entry.file_name().unwrap());
        if entry.is_dir() {
            let before = found.len();
            files(out, &name, found);
            if name != Path::new("resume") {
                found.truncate(before + 1);
            }
        } else {
            found.push(name);
        }
    }
}

/// A way to damage a file, in words and as done.
type Damage = (&'static str, fn(&Path));

/// How a file is damaged.
const DAMAGES: [Damage; 3] = [
    ("a bit flipped in the middle", |file| {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes.iter_mut().skip(middle).take(1).for_each(|byte| *byte ^= 4);
        std::fs::write(file, bytes).unwrap();
    }),
    ("half of it gone", |file| {
        let bytes = std::fs::read(file).unwrap();
        std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("all of it gone", |file| std::fs::remove_file(file).unwrap()),
];

/// Whatever file of a campaign is damaged, the resumed campaign has the same results, frames and trajectories.
#[test]
fn resume_makes_every_damaged_file_anew() {
    let campaign = Campaign::new();
    let whole = campaign.path("whole");
    assert_eq!(campaign.run(&whole, &[]).status, 1);
    let expected = outcome(&whole);
    let n_files = Results::read(&whole.join("results.json")).unwrap().files.len();
    assert!(n_files > 8, "frames, and the trajectories of all runs that began");
    let stopped = campaign.path("stopped");
    let mut child = campaign.start(&stopped, &["--save-every", "0"]).spawn().unwrap();
    let has_trajectory =
        || std::fs::read_dir(stopped.join("trajectories")).is_ok_and(|mut all| all.next().is_some());
    while !(has_trajectory() && stopped.join("resume/runs.state").exists())
        && child.try_wait().unwrap().is_none()
    {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for (state, from) in [("finished", &whole), ("stopped", &stopped)] {
        let mut names = Vec::new();
        files(from, Path::new(""), &mut names);
        for expected in ["results.json", "resume/campaign.state", "resume/parts.journal"] {
            assert!(names.iter().any(|name| name == Path::new(expected)), "{state}: {expected}: {names:?}");
        }
        for (n, name) in names.iter().enumerate() {
            // All kinds of damage to what cannot be derived from the rest, one to every other file.
            let state_or_data = name.extension().is_some_and(|e| e == "state" || e == "journal" || e == "gz");
            let damages = if state_or_data { &DAMAGES[..] } else { &DAMAGES[n % 3..][..1] };
            for (damage, apply) in damages {
                let out = campaign.path("damaged");
                copy(from, &out);
                apply(&out.join(name));
                let output = campaign.run(&out, &["--resume"]);
                let case = format!("{state}: {}: {damage}", name.display());
                assert_eq!((output.status, output.stderr.as_str()), (1, ""), "{case}");
                assert_outcome(&expected, &out);
                let again = Results::read(&out.join("results.json")).unwrap();
                assert!(again.files.iter().all(|file| file.fault(&out).is_none()), "{case}");
                assert_eq!(again.files.len(), n_files, "{case}");
                std::fs::remove_dir_all(&out).unwrap();
            }
        }
    }
}

/// Damage to the identity of a campaign is called damage, and where its copy is damaged too, nothing is overwritten.
#[test]
fn resume_tells_damaged_identity_from_other_inputs() {
    let campaign = Campaign::new();
    let out = campaign.path("out");
    let only = ["--only", "model=control", "--only", "molecule=water"];
    assert_eq!(campaign.run(&out, &only).status, 3);
    let state = out.join("resume/campaign.state");
    let mut bytes = std::fs::read(&state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    // The copy is the first record of the journal, behind its line and the head of the record.
    let journal = out.join("resume/parts.journal");
    let mut bytes = std::fs::read(&journal).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&journal, bytes).unwrap();
    let output = campaign.run(&out, &[&only[..], &["--resume"]].concat());
    assert_eq!(output.status, 2);
    for part in [
        "campaign.state is damaged: its content does not match its checksum",
        "and so is its copy",
        "--force-new",
    ] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("other inputs"), "{}", output.stderr);
}

/// A signal is heard before the first input is read: here the labels are a pipe that nobody writes to.
#[test]
fn validate_hears_signals_while_it_reads_its_inputs() {
    let campaign = Campaign::new();
    let pipe = campaign.path("pipe.xyz");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for signal in ["-TERM", "-INT"] {
        let out = campaign.path("out");
        let mut child = campaign.start(&out, &["--labels", pipe.to_str().unwrap()]).spawn().unwrap();
        // Until it waits for the pipe: then a writer can open it.
        let open = || std::fs::File::options().write(true).custom_flags(NONBLOCK).open(&pipe);
        while open().is_err() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        ended_within(&mut child, Duration::from_secs(20)).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(75), "{said}");
        assert!(
            said.contains("interrupted before anything was measured: the same command begins it"),
            "{said}"
        );
        assert!(!out.exists());
    }
}
