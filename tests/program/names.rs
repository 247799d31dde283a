//! Names in a campaign become parts of file names: none of them leads out of the output folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::{mdproof, repository};

/// Creates a campaign of the control on water with these names.
fn campaign(folder: &Path, [campaign, model, molecule]: [&str; 3]) -> PathBuf {
    let water = repository("data/molecules/water.xyz");
    let text = format!(
        r#"
            campaign = {{ name = {campaign}, seed = 1 }}
            model = [{{ name = {model}, analytic = "control" }}]
            molecule = [{{ name = {molecule}, structure = {water:?} }}]
            criteria."u..e" = {{ stable_ps = 1.0 }}
            [[run]]
            ensemble = "nve"
            timestep_fs = 0.5
            duration_ps = 0.005
            temperatures_K = [300]
            replicas = 2
            trajectory_every_fs = 1.0
        "#
    );
    let file = folder.join("campaign.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// Returns all paths below `folder`, relative to it.
fn tree(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.insert(path.strip_prefix(folder).unwrap().to_owned());
        }
    }
    found
}

#[test]
fn validate_refuses_names_unfit_for_files() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{:?}", "n".repeat(65));
    let bad = [
        r#""""#,
        r#"".""#,
        r#""..""#,
        r#""../out""#,
        r#""/tmp/out""#,
        r#""a/b""#,
        r#""a\\b""#,
        r#""a\u0000b""#,
        r#""a\nb""#,
        r#"".hidden""#,
        r#""-rf""#,
        r#""a b""#,
        r#""C:""#,
        r#""é""#,
        long.as_str(),
    ];
    for (bad, place) in bad.iter().flat_map(|bad| (0..3).map(move |place| (*bad, place))) {
        let mut names = [r#""c""#; 3];
        names[place] = bad;
        let file = campaign(folder.path(), names);
        let before = tree(folder.path());
        let out = folder.path().join("out");
        let output = mdproof(["validate".as_ref(), file.as_os_str(), "--out".as_ref(), out.as_os_str()]);
        assert_eq!(output.status, 2, "{names:?}");
        assert!(output.stderr.contains("it becomes part of file names"), "{names:?}: {}", output.stderr);
        assert_eq!(tree(folder.path()), before, "{names:?}");
    }
    for bad in ["../m=x", "/m=x", "..=x", "a b=x", "=x"] {
        let smoke = repository("configs/smoke.toml");
        let output = mdproof(["validate".as_ref(), smoke.as_os_str(), "--model".as_ref(), bad.as_ref()]);
        assert_eq!(output.status, 2, "{bad}");
        assert!(output.stderr.contains("expected NAME=CHECKPOINT"), "{bad}: {}", output.stderr);
    }
}

#[test]
fn validate_writes_only_inside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (campaign_name, model, molecule) = ("c..".repeat(21), "m".repeat(64), "a.._-".repeat(12));
    let quoted = [&campaign_name, &model, &molecule].map(|name| format!("{name:?}"));
    let file = campaign(folder.path(), quoted.each_ref().map(String::as_str));
    let out = folder.path().join("results");
    let output = mdproof(["validate".as_ref(), file.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    assert_eq!(output.status, 3, "{}{}", output.stdout, output.stderr);
    let outside: Vec<_> =
        tree(folder.path()).into_iter().filter(|path| !path.starts_with("results")).collect();
    assert_eq!(outside, [Path::new("campaign.toml")]);
    let trajectories = tree(&out.join("trajectories"));
    assert_eq!(trajectories.len(), 2, "{trajectories:?}");
    assert!(
        trajectories
            .iter()
            .all(|path| path.to_str().unwrap().starts_with(&format!("{model},{molecule},nve,")))
    );
}

#[test]
fn train_refuses_names_unfit_for_files() {
    let folder = tempfile::tempdir().unwrap();
    let demo = std::fs::read_to_string(repository("configs/train/demo.toml")).unwrap();
    for bad in ["../../demo", "/tmp/demo", "a/b", "..", ""] {
        let file = folder.path().join("train.toml");
        std::fs::write(&file, demo.replacen("name = \"demo\"", &format!("name = {bad:?}"), 1)).unwrap();
        let output = mdproof(["train".as_ref(), file.as_os_str()]);
        assert_eq!(output.status, 2, "{bad}");
        assert!(output.stderr.contains("it becomes part of a file name"), "{bad}: {}", output.stderr);
    }
}
