//! `mdproof frames`: which frames of a campaign it selects, and what it says if there are none.

use std::path::Path;

use crate::support::{Output, mdproof, repository};

/// Writes the results of a campaign with two students and a control, and a frame of each of these models and
/// molecules.
fn campaign(folder: &Path, frames: &[(&str, &str)]) {
    std::fs::copy(repository("tests/cases/campaign/results.json"), folder.join("results.json")).unwrap();
    let text: String = frames
        .iter()
        .map(|(model, molecule)| {
            format!(
                "2\nProperties=species:S:1:pos:R:3:model_forces:R:3 model_energy=-1 model={model} molecule={molecule} run=r time_ps=0\n\
                 H 0 0 0 0 0 0\nH 0 0 0.74 0 0 0\n"
            )
        })
        .collect();
    std::fs::write(folder.join("frames.extxyz"), text).unwrap();
}

#[test]
fn frames_leave_out_control_and_name_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("selected.extxyz");
    let select = |options: &[&str]| -> (Output, String) {
        let mut arguments = vec!["frames".into(), folder.path().as_os_str().to_owned()];
        arguments.extend(["--out".into(), out.as_os_str().to_owned()]);
        arguments.extend(options.iter().map(Into::into));
        let output = mdproof(arguments);
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        let _ = std::fs::remove_file(&out);
        (output, text)
    };
    campaign(
        folder.path(),
        &[("control", "water"), ("original", "water"), ("tiny", "water"), ("tiny", "methane")],
    );
    let (output, text) = select(&[]);
    assert!(output.stdout.starts_with("3 frames"), "{}{}", output.stdout, output.stderr);
    assert!(!text.contains("control"), "{text}");
    let (output, text) = select(&["--model", "control"]);
    assert!(output.stdout.starts_with("1 frame:"), "{}{}", output.stdout, output.stderr);
    assert!(text.contains("control"), "{text}");
    for (options, expected) in [
        (&["--model", "nope"][..], "no frame of the model 'nope' (it has frames of control, original, tiny)"),
        (&["--molecule", "nope"], "no frame of the molecule 'nope' (there are frames of methane, water)"),
        (
            &["--model", "original", "--molecule", "methane"],
            "no frame of the molecule 'methane' by the model 'original' (there are frames of water)",
        ),
    ] {
        let (output, _) = select(options);
        assert_eq!(output.status, 2, "{}", output.stdout);
        assert!(output.stderr.contains(&format!("frames.extxyz: {expected}\n")), "{}", output.stderr);
    }
    campaign(folder.path(), &[("control", "water")]);
    let (output, _) = select(&[]);
    assert_eq!(output.status, 2, "{}", output.stdout);
    assert!(
        output.stderr.contains("all frames are of control: ask for them with --model"),
        "{}",
        output.stderr
    );
}

#[test]
fn frames_and_report_name_damaged_frames() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path(), &[("tiny", "water")]);
    let path = folder.path().join("results.json");
    let mut results = md_results::Results::read(&path).unwrap();
    let frames = folder.path().join("frames.extxyz");
    results.files = vec![md_results::OutputFile {
        file: "frames.extxyz".to_owned(),
        bytes: std::fs::metadata(&frames).unwrap().len(),
        sha256: md_io::files::sha256_file(&frames).unwrap(),
    }];
    results.write(&path).unwrap();
    let run = |arguments: &[&Path]| mdproof(arguments.iter().map(|a| a.as_os_str().to_owned()));
    let out = folder.path().join("selected.extxyz");
    let select = [Path::new("frames"), folder.path(), Path::new("--out"), &out];
    let report = [Path::new("report"), folder.path()];
    let page = || std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    let moving = |page: &str| page.contains("id=\"viewer-play\"");
    assert_eq!((run(&select).status, run(&report).status), (0, 0));
    assert!(moving(&page()));
    let text = std::fs::read_to_string(&frames).unwrap();
    std::fs::write(&frames, text.replace("0.74", "0.75")).unwrap();
    std::fs::remove_file(&out).unwrap();
    let output = run(&select);
    assert_eq!(output.status, 2, "{}", output.stdout);
    assert!(
        output.stderr.contains("frames.extxyz: its content does not match its checksum: "),
        "{}",
        output.stderr
    );
    assert!(!out.exists());
    assert_eq!(run(&report).status, 0);
    assert!(!moving(&page()));
}
