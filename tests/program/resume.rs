//! Campaigns that are killed, interrupted, sharded, or run out of disk space lose no measurements.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use md_results::{Results, RunFate, Stage, Verdict};
use tempfile::TempDir;

use crate::bad_input::checkpoint;
use crate::support::{Output, mdproof, repository};

/// Environment variable with the arguments of [`subprocess_entry_point`], one per line.
pub const ARGUMENTS: &str = "MDPROOF_TEST_ARGUMENTS";

/// Not a test, but the entry point of a separate process that the other tests start and kill.
#[test]
fn subprocess_entry_point() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments = arguments.lines().map(Into::into);
    let status = mdproof::run(arguments, &mut std::io::stdout(), &mut std::io::stderr());
    std::process::exit(status.into());
}

/// A campaign of a random network and the control on two molecules: a microcanonical grid with trajectories, and a grid
/// with a thermostat.
pub struct Campaign {
    folder: TempDir,
}

impl Campaign {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let network = folder.path().join("network");
        std::fs::create_dir(&network).unwrap();
        checkpoint(&network);
        let molecules = repository("data/molecules");
        let molecules = molecules.canonicalize().unwrap();
        let text = format!(
            r#"[campaign]
name = "short"
seed = 3

[[model]]
name = "random"
checkpoint = "network"

[[model]]
name = "control"
analytic = "control"

[[molecule]]
name = "water"
structure = "{0}/water.xyz"

[[molecule]]
name = "methane"
structure = "{0}/methane.xyz"

[[run]]
ensemble = "nve"
equilibrate_ps = 0.05
timestep_fs = 0.5
duration_ps = 0.2
temperatures_K = [100, 300]
replicas = 2
trajectory_every_fs = 5
trajectory_gzip = true

[[run]]
ensemble = "bussi"
timestep_fs = 0.5
duration_ps = 0.1
temperatures_K = [300]
replicas = 2
trajectory_every_fs = 2
relax = false

[adaptive]
early_stop_ps = 100.0
"#,
            molecules.display()
        );
        std::fs::write(folder.path().join("short.toml"), text).unwrap();
        Campaign { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arguments(&self, out: &Path, more: &[&str]) -> Vec<String> {
        let config = self.path("short.toml");
        let always =
            ["mdproof", "validate", config.to_str().unwrap(), "--out", out.to_str().unwrap(), "--quiet"];
        always.iter().chain(more).map(|&text| text.to_owned()).collect()
    }

    /// Runs the campaign in this process.
    pub fn run(&self, out: &Path, more: &[&str]) -> Output {
        mdproof(self.arguments(out, more).into_iter().skip(1))
    }

    /// Returns a command that runs the campaign in a separate process.
    pub fn start(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["resume::subprocess_entry_point", "--exact", "--nocapture"])
            .env(ARGUMENTS, self.arguments(out, more).join("\n"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Waits until a process ends, at most for the given time.
pub fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let pause = Duration::from_millis(5);
    for _ in 0..patience.as_millis() / pause.as_millis() {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(pause);
    }
    None
}

/// Returns the output that must not depend on interruptions: the results without times, the frames, the trajectories.
pub fn outcome(out: &Path) -> (Results, BTreeMap<String, Vec<u8>>) {
    let results = Results::read(&out.join("results.json")).unwrap().reproducible();
    let mut files =
        BTreeMap::from([("frames.extxyz".to_owned(), std::fs::read(out.join("frames.extxyz")).unwrap())]);
    for entry in std::fs::read_dir(out.join("trajectories")).unwrap() {
        let file = entry.unwrap().path();
        // Members of gzip end at checkpoints; the contents must be equal.
        let mut content = Vec::new();
        for frame in md_io::extxyz::read_frames(&file, &md_io::extxyz::LabelKeys::default()).unwrap() {
            content.extend(format!("{frame:?}\n").into_bytes());
        }
        files.insert(file.file_name().unwrap().to_str().unwrap().to_owned(), content);
    }
    (results, files)
}

pub fn assert_same(whole: &Path, other: &Path) {
    assert_outcome(&outcome(whole), other);
}

pub fn assert_outcome((results, files): &(Results, BTreeMap<String, Vec<u8>>), other: &Path) {
    let (other_results, other_files) = outcome(other);
    assert_eq!(*results, other_results);
    assert_eq!(files.keys().collect::<Vec<_>>(), other_files.keys().collect::<Vec<_>>());
    for (name, content) in files {
        assert!(*content == other_files[name], "{name} differs");
    }
}

/// Returns a number from 0 to 1, the same in every run of the tests (SplitMix64).
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as f64 / u64::MAX as f64
}

#[cfg(unix)]
#[test]
fn resume_after_repeated_kills_gives_same_results() {
    let campaign = Campaign::new();
    let whole = campaign.path("whole");
    let output = campaign.start(&whole, &[]).env("RAYON_NUM_THREADS", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));

    // Other numbers of threads give the same results.
    let again = campaign.path("again");
    campaign.start(&again, &[]).env("RAYON_NUM_THREADS", "3").output().unwrap();
    assert_same(&whole, &again);
    let compare = mdproof(["compare".as_ref(), whole.as_os_str(), again.as_os_str()]);
    assert!(compare.stdout.contains("the same, bit for bit, but for times"), "{}", compare.stdout);

    // The first kill is during the runs, the others are anywhere.
    let mut random = 7;
    let (mut kills, mut went_on) = (0, 0);
    for session in 0..10 {
        let out = campaign.path(&format!("killed-{session}"));
        let runs = out.join("resume/runs.state");
        let mut first = true;
        let status = loop {
            let mut child = campaign.start(&out, &["--resume", "--save-every", "0"]).spawn().unwrap();
            while first && !runs.exists() && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // The waiting time increases, so that the campaign finishes eventually.
            let patience = (0.1 + 0.02 * f64::from(kills)) * (0.2 + uniform(&mut random));
            let wait = if first { Duration::from_millis(5) } else { Duration::from_secs_f64(patience) };
            first = false;
            if ended_within(&mut child, wait).is_none() && kills < 40 {
                child.kill().unwrap();
                kills += 1;
            }
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            went_on += said.lines().filter(|l| l.contains(" runs resume after ")).count();
            if output.status.code().is_some() {
                break output.status; // else it was killed
            }
        };
        assert_eq!(status.code(), Some(1));
        assert_same(&whole, &out);
        if kills >= 20 && went_on > 0 {
            return;
        }
    }
    panic!("{kills} kills, after {went_on} of which runs continued");
}

#[cfg(unix)]
#[test]
fn resume_survives_damaged_state() {
    let campaign = Campaign::new();
    let whole = campaign.path("whole");
    assert_eq!(campaign.run(&whole, &[]).status, 1);
    let out = campaign.path("out");
    let runs = out.join("resume/runs.state");
    let parts = out.join("resume/parts.journal");

    // Interrupts the campaign after its first checkpoint of runs.
    let mut child = campaign.start(&out, &["--save-every", "0"]).spawn().unwrap();
    while !runs.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert_eq!(output.status.code(), Some(75), "{said}");
    let expected = format!(
        "interrupted: what was measured is kept in {0}: continue with the same command and --out {0} --resume",
        out.display()
    );
    assert!(said.contains(&expected), "{said}");
    // The unfinished results name all models of the plan, and start with the statement that they are unfinished.
    let unfinished =
        "UNFINISHED: the campaign was stopped before its end, 0 of 2 models measured, not random, control; ";
    let command = format!(
        "mdproof validate {} --out {} --resume",
        std::path::absolute(campaign.path("short.toml")).unwrap().display(),
        out.display()
    );
    let made = Results::read(&out.join("results.json")).unwrap().runs.len();
    let how_far = format!("{made} of 24 runs made");
    assert!(made < 12, "{made}");
    for format in ["text", "standup", "json"] {
        let status = mdproof(["status".as_ref(), out.as_os_str(), "--format".as_ref(), format.as_ref()]);
        for part in [command.as_str(), "interrupted by Ctrl-C or a signal", "stopped"] {
            assert!(status.stdout.contains(part), "{format}: {part}: {}", status.stdout);
        }
        assert!(!status.stdout.contains("is gone"), "{}", status.stdout);
        assert!(format == "json" || status.stdout.contains(&how_far), "{how_far}: {}", status.stdout);
    }
    let mut results = Results::read(&out.join("results.json")).unwrap();
    md_criteria::judge(&mut results);
    let verdicts: Vec<_> = results.models.iter().map(|m| m.verdict).collect();
    assert_eq!(verdicts, [Some(Verdict::Incomplete), None]);
    let compare = mdproof(["compare".as_ref(), whole.as_os_str(), out.as_os_str()]);
    assert_eq!(compare.status, 3, "{}", compare.stdout);
    let words = format!(
        "the second is unfinished: its campaign was stopped before its end, {how_far}; continue it with: {command}"
    );
    assert!(compare.stdout.contains(&words), "{words}: {}", compare.stdout);
    for (command, of) in [("verdict", out.join("results.json")), ("report", out.clone())] {
        let output = mdproof([command.as_ref(), of.as_os_str()]);
        assert_eq!((output.status, output.stderr.as_str()), (3, ""), "{command}: {}", output.stdout);
        assert!(output.stdout.starts_with(unfinished), "{command}: {}", output.stdout);
    }
    for name in ["report.md", "report.html", "junit.xml"] {
        let text = std::fs::read_to_string(out.join(name)).unwrap();
        assert!(text.contains(unfinished) && text.contains("not measured"), "{name}: {text}");
        assert!(text.contains(&how_far) && text.contains("--resume"), "{name}: {text}");
    }

    // Half of the runs in progress, a wrong bit in a finished part, half a part at the end, a temporary file.
    let kept = std::fs::read(&runs).unwrap();
    std::fs::write(&runs, &kept[..kept.len() / 2]).unwrap();
    let mut journal = std::fs::read(&parts).unwrap();
    let middle = journal.len() / 2;
    journal[middle] ^= 1;
    journal.extend_from_within(18..60);
    std::fs::write(&parts, &journal).unwrap();
    std::fs::write(out.join(".unfinished-x"), "half a file").unwrap();
    let output = campaign.start(&out, &["--resume"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is truncated") && said.contains("the runs in progress start over"), "{said}");
    assert!(
        said.contains("are damaged (their checksum is wrong): what they held is measured again"),
        "{said}"
    );
    assert!(!out.join(".unfinished-x").exists());
    assert_same(&whole, &out);

    // Finished work is not repeated, and the verdict is the same.
    let output = campaign.run(&out, &["--resume"]);
    assert_eq!((output.status, output.stderr.as_str()), (1, ""));
    assert_same(&whole, &out);
}

/// Simulates a full disk by a limit on the file size (SIGXFSZ), for nine sizes from zero to almost sufficient.
#[cfg(unix)]
#[test]
fn resume_after_full_disk_gives_same_results() {
    let campaign = Campaign::new();
    let whole = campaign.path("whole");
    assert_eq!(campaign.run(&whole, &[]).status, 1);
    let out = campaign.path("out");
    for blocks in [0, 1, 3, 8, 20, 50, 100, 200, 400] {
        let command = campaign.start(&out, &["--resume", "--save-every", "0.05"]);
        let mut shell = Command::new("sh");
        let script = format!("ulimit -f {blocks}; exec \"$@\"");
        shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            shell.env(name, value.unwrap());
        }
        let output = shell.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.code() == Some(1) {
            assert!(blocks > 100, "{said}");
            continue;
        }
        assert_eq!(output.status.code(), Some(75), "{blocks}: {said}");
        assert!(said.contains("File too large") || said.contains("os error 27"), "{blocks}: {said}");
    }
    assert_eq!(campaign.run(&out, &["--resume"]).status, 1);
    assert_same(&whole, &out);
}

#[test]
fn resume_refuses_other_inputs_and_keeps_results() {
    let campaign = Campaign::new();
    let out = campaign.path("out");
    let only = ["--only", "model=control", "--only", "molecule=water"];
    let with = |more: &[&str]| campaign.run(&out, &[only.as_slice(), more].concat());
    // Resuming without a previous campaign is no error, so that a requeued job can run the same command.
    assert_eq!(with(&["--resume"]).status, 3);
    let refused = with(&[]);
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("already holds results: resume with --resume"), "{}", refused.stderr);

    let file = campaign.path("short.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("duration_ps = 0.1", "duration_ps = 0.3")).unwrap();
    let weights = campaign.path("network/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    let refused = campaign.run(&out, &["--resume", "--only", "model=control"]);
    assert_eq!(refused.status, 2);
    let line = 1 + config.lines().position(|line| line == "duration_ps = 0.1").unwrap();
    for part in [
        "its results were begun with other inputs",
        &format!("short.toml:{line}: was `duration_ps = 0.1`, is `duration_ps = 0.3`"),
        "--only: was model=control, molecule=water, is model=control",
        "checkpoint of 'random' (model.safetensors)",
        "had SHA-256",
        "--force-new",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }

    let before = std::fs::read(out.join("results.json")).unwrap();
    let beside = with(&["--force-new"]);
    assert_eq!(beside.status, 3, "{}", beside.stderr);
    assert!(beside.stdout.contains("out-2"), "{}", beside.stdout);
    assert!(campaign.path("out-2/results.json").exists());
    assert_eq!(std::fs::read(out.join("results.json")).unwrap(), before);
}

#[test]
fn resume_refuses_folder_locked_by_other_process() {
    let campaign = Campaign::new();
    let out = campaign.path("out");
    let mut child = campaign.start(&out, &["--save-every", "0"]).spawn().unwrap();
    while !out.join("resume/parts.journal").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let refused = campaign.run(&out, &["--resume"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(refused.status, 2);
    let holder = format!("process {} on ", child.id());
    assert!(
        refused.stderr.contains(&holder) && refused.stderr.contains("is at work in"),
        "{}",
        refused.stderr
    );
    // A process that ended holds no lock.
    assert_eq!(campaign.run(&out, &["--resume"]).status, 1);
}

#[test]
fn shards_merge_to_results_of_whole_campaign() {
    let campaign = Campaign::new();
    let whole = campaign.path("whole");
    assert_eq!(campaign.run(&whole, &[]).status, 1);
    let shards: Vec<PathBuf> = (1..=3).map(|n| campaign.path(&format!("shard-{n}"))).collect();
    for (n, shard) in (1..=3).zip(&shards) {
        let output = campaign.run(shard, &["--shard", &format!("{n}/3")]);
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(output.stdout.starts_with(&format!("shard {n}/3: ")), "{}", output.stdout);
        let results = Results::read(&shard.join("results.json")).unwrap();
        assert_eq!(results.campaign.shard, Some(format!("{n}/3")));
        assert!((1..24).contains(&results.runs.len()), "{}", results.runs.len());
        assert!(results.models.iter().all(|m| m.verdict != Some(Verdict::Approved)));
    }
    let merge = |shards: &[&Path], out: &str| {
        let mut arguments = vec!["merge".into(), "--quiet".into(), "--out".into(), campaign.path(out).into()];
        arguments.extend(shards.iter().map(|shard| shard.as_os_str().to_owned()));
        mdproof::<std::ffi::OsString>(arguments)
    };
    let [first, second, third] = [&shards[0], &shards[1], &shards[2]].map(PathBuf::as_path);
    for (shards, complaint) in [
        (vec![first, third], "shards are missing: 2/3"),
        (vec![first, second, third, second], "shard 2/3 is there twice, in "),
        (vec![first, whole.as_path()], "holds a whole campaign, not a shard of one"),
        (vec![first, campaign.folder.path()], "there is no shard of a campaign here"),
    ] {
        let output = merge(&shards, "merged");
        assert_eq!(output.status, 2);
        assert!(output.stderr.contains(complaint), "{complaint}: {}", output.stderr);
    }
    let unfinished = second.join("resume/campaign.state");
    let finished = std::fs::read(&unfinished).unwrap();
    let state = String::from_utf8(md_io::files::read_checked(&unfinished).unwrap().unwrap()).unwrap();
    let state = state.replace("\"finished\": true", "\"finished\": false");
    md_io::files::write_checked(&unfinished, state.as_bytes()).unwrap();
    let output = merge(&[first, second, third], "merged");
    assert!(
        output.stderr.contains("shard 2/3") && output.stderr.contains("is unfinished"),
        "{}",
        output.stderr
    );
    std::fs::write(&unfinished, finished).unwrap();

    let output = merge(&[third, first, second], "merged");
    assert_eq!(output.status, 1, "{}", output.stderr);
    assert_same(&whole, &campaign.path("merged"));
    assert!(campaign.path("merged/report.html").exists());

    let output = campaign.run(&campaign.path("many"), &["--shard", "1/100"]);
    assert_eq!(output.status, 2);
    assert!(output.stderr.contains("the plan has 24 runs, so at most as many shards"), "{}", output.stderr);
    assert!(!campaign.path("many").exists());
}

#[test]
fn validate_stops_on_unreadable_inputs_unless_keep_going() {
    let campaign = Campaign::new();
    let file = campaign.path("short.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(campaign.path("broken.xyz"), "1\n\nXx 0 0 0\n").unwrap();
    std::fs::write(campaign.path("labels.extxyz"), "no number of atoms\n").unwrap();
    let more = "[[model]]\nname = \"gone\"\ncheckpoint = \"nowhere\"\n\n\
                [[molecule]]\nname = \"broken\"\nstructure = \"broken.xyz\"\n\n[[run]]";
    let config = config
        .replacen("[[run]]", more, 1)
        .replace("/water.xyz\"", "/water.xyz\"\nreference = \"labels.extxyz\"");
    std::fs::write(&file, config).unwrap();
    let only = ["--only", "replica=0", "--only", "temperature_K=300"];
    let stopped = campaign.run(&campaign.path("stopped"), &only);
    assert_eq!(stopped.status, 2);
    assert!(!campaign.path("stopped").exists(), "what is wrong is found before anything is written");

    let out = campaign.path("out");
    let output = campaign.run(&out, &[only.as_slice(), &["--keep-going"]].concat());
    assert_eq!(output.status, 1, "{}", output.stderr);
    let results = Results::read(&out.join("results.json")).unwrap();
    let failed = |model: &str, molecule: Option<&str>, stage: Stage| {
        results
            .failures
            .iter()
            .any(|f| f.model == model && f.molecule.as_deref() == molecule && f.stage == stage)
    };
    assert!(failed("gone", None, Stage::Load), "{:#?}", results.failures);
    assert!(failed("random", Some("broken"), Stage::Load), "{:#?}", results.failures);
    assert!(failed("random", Some("water"), Stage::Evaluation), "{:#?}", results.failures);
    let model = |name: &str| results.models.iter().find(|m| m.name == name).unwrap();
    assert_eq!(model("gone").verdict, Some(Verdict::Incomplete));
    assert!(model("random").molecules.contains(&"broken".to_owned()), "it is judged on what it was to run");
    let finished = results.runs.iter().filter(|r| r.model == "control" && r.fate == RunFate::Finished);
    assert_eq!(finished.count(), 2 * 2);
}

#[test]
fn dry_run_prints_plan_and_writes_no_files() {
    let campaign = Campaign::new();
    let out = campaign.path("out");
    let output = campaign.run(&out, &["--dry-run"]);
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    // 2 models and 2 molecules: 8 runs of 100 + 400 steps, 4 of 200.
    assert!(output.stdout.contains("24 runs, 9600 steps\n"), "{}", output.stdout);
    for part in ["time: about ", "memory: about ", "disk: about "] {
        assert!(output.stdout.contains(part), "{}", output.stdout);
    }
    assert!(!out.exists());
}
