//! Results of many runs: each command takes time in proportion to their number, and the page stays small.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use md_results::progress::CampaignProgress;
use md_results::{Column, Results, Run, RunFate, Series, SeriesId};

use crate::support::{mdproof, repository};

/// A curve of a run: `n` columns.
fn curve(run: &Run, id: SeriesId, n: u32, samples: u32) -> Series {
    let phase = f64::from(run.replica % 97);
    let column = |c: u32| {
        let value = move |k: u32| (1e5 * (0.1 * f64::from(k * (c + 1)) + phase).sin()).round() / 1e5;
        Column {
            name: format!("column {c}"),
            unit: "meV/atom".to_owned(),
            values: (0..samples).map(value).collect(),
        }
    };
    Series {
        id,
        model: run.model.clone(),
        molecule: run.molecule.clone(),
        subject: Some(run.id.clone()),
        x: Column { name: "time".to_owned(), unit: "ps".to_owned(), ..column(0) },
        y: (0..n).map(column).collect(),
    }
}

/// Returns the results of a small campaign with its model and molecule copied, and `replicas` runs with curves of each
/// pair, of which some break.
pub fn many(models: usize, molecules: usize, replicas: u32, samples: u32) -> Results {
    let mut base = Results::read(&repository("tests/cases/campaign/results.json")).unwrap();
    base.remarks.clear();
    let mut results = base.clone();
    let (name, molecule) = ("original", "water");
    macro_rules! copied {
        ($list:ident, $model:ident, $water:ident) => {{
            results.$list.clear();
            for $model in 0..models {
                for $water in 0..molecules {
                    let of_pair = base.$list.iter().filter(|r| r.model == name && r.molecule == molecule);
                    results.$list.extend(of_pair.cloned().map(|mut record| {
                        record.model = format!("{name}-{}", $model);
                        record.molecule = format!("{molecule}-{}", $water);
                        record
                    }));
                }
            }
        }};
    }
    copied!(gates, m, w);
    copied!(relaxations, m, w);
    copied!(shifts, m, w);
    copied!(timesteps, m, w);
    copied!(speed, m, w);
    results.runs.clear();
    results.evaluations.clear();
    results.survival.clear();
    results.economy.clear();
    let waters: Vec<String> = (0..molecules).map(|w| format!("{molecule}-{w}")).collect();
    let pattern = base.models.iter().find(|m| m.name == name).unwrap().clone();
    let record = base.molecules.iter().find(|m| m.name == molecule).unwrap().clone();
    results.molecules =
        waters.iter().map(|w| md_results::Molecule { name: w.clone(), ..record.clone() }).collect();
    results.models.clear();
    let of_pair = |r: &&Run| r.model == name && r.molecule == molecule && r.temperature_k == 300.0;
    let run = base.runs.iter().find(of_pair).unwrap();
    for m in 0..models {
        let model = format!("{name}-{m}");
        results.models.push(md_results::Model {
            name: model.clone(),
            molecules: waters.clone(),
            ..pattern.clone()
        });
        for water in &waters {
            for evaluation in
                base.evaluations.iter().filter(|e| e.model == name && e.molecule.as_deref() == Some(molecule))
            {
                let mut evaluation = evaluation.clone();
                evaluation.model.clone_from(&model);
                evaluation.molecule = Some(water.clone());
                results.evaluations.push(evaluation);
            }
            for survival in
                base.survival.iter().filter(|s| s.model == name && s.molecule.as_deref() == Some(molecule))
            {
                let mut survival = survival.clone();
                survival.model.clone_from(&model);
                survival.molecule = Some(water.clone());
                results.survival.push(survival);
            }
            for replica in 0..replicas {
                let mut run = Run { model: model.clone(), molecule: water.clone(), replica, ..run.clone() };
                run.id = format!("{model}/{water}/nve/300K/0.5fs/2000steps/r{replica}");
                run.seed = u64::from(replica);
                if replica % 10 == 9 {
                    run.steps_done /= 2;
                    run.fate = RunFate::Diverged;
                    run.fate_reason = Some(format!("the bond {replica}-2 stretched"));
                }
                if samples > 0 {
                    results.series.push(curve(&run, SeriesId::Energy, 3, samples));
                    results.series.push(curve(&run, SeriesId::Temperature, 1, samples));
                }
                results.runs.push(run);
            }
        }
    }
    md_criteria::judge(&mut results);
    results
}

/// Writes some frames of every run, as a campaign does.
fn write_frames(results: &Results, folder: &Path) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(folder.join("frames.extxyz")).unwrap());
    for run in &results.runs {
        for frame in 1..=4 {
            write!(
                out,
                "3\nProperties=species:S:1:pos:R:3 model={} molecule={} run=\"{}\" temperature_K=300 time_ps={frame}\n\
                 O 0 0 0\nH 0.96 0 0.{:04}\nH -0.24 0.93 0\n",
                run.model, run.molecule, run.id, run.replica
            )
            .unwrap();
        }
    }
    out.flush().unwrap();
}

/// Times of the commands on a folder, and the size of the page.
struct Cost {
    times: Vec<(&'static str, Duration)>,
    page_bytes: u64,
}

#[expect(clippy::disallowed_methods, reason = "the time is what is tested")]
fn cost(results: &Results) -> Cost {
    let folder = tempfile::tempdir().unwrap();
    write_frames(results, folder.path());
    let progress = CampaignProgress::read(&repository("tests/cases/campaign/progress.json")).unwrap();
    progress.write(&folder.path().join("progress.json")).unwrap();
    let file = folder.path().join("results.json");
    let mut times = Vec::new();
    let begin = Instant::now();
    let mut judged = results.clone();
    md_criteria::judge(&mut judged);
    times.push(("judge", begin.elapsed()));
    let begin = Instant::now();
    judged.write(&file).unwrap();
    times.push(("write", begin.elapsed()));
    let begin = Instant::now();
    Results::read(&file).unwrap();
    times.push(("read", begin.elapsed()));
    for (command, n) in [("verdict", 1), ("status", 1), ("report", 1), ("compare", 2)] {
        let begin = Instant::now();
        let arguments =
            std::iter::once(command.into()).chain((0..n).map(|_| folder.path().as_os_str().to_owned()));
        let output = mdproof::<std::ffi::OsString>(arguments);
        times.push((command, begin.elapsed()));
        assert_eq!(output.stderr, "", "{command}");
    }
    Cost { times, page_bytes: std::fs::metadata(folder.path().join("report.html")).unwrap().len() }
}

/// Shapes of campaigns: models, molecules, runs of each pair, samples of a curve.
/// `MDPROOF_SIZES="1 1 10000 240; 100 100 1 240"` measures others, and `--nocapture` shows the times.
const SIZES: &str = "1 1 1500 40; 12 12 1 240; 1 60 2 240; 60 1 2 240";

/// Most bytes of a page, and most time of all commands on 10,000 runs.
const PAGE_BYTES: u64 = 10_000_000;
const AT_MOST: Duration = Duration::from_secs(60);

#[test]
fn reports_of_many_runs_are_quick_and_small() {
    let sizes = std::env::var("MDPROOF_SIZES").unwrap_or_else(|_| SIZES.to_owned());
    for size in sizes.split(';') {
        let n: Vec<u32> = size.split_whitespace().map(|n| n.parse().unwrap()).collect();
        let Cost { times, page_bytes } = cost(&many(n[0] as usize, n[1] as usize, n[2], n[3]));
        let words: Vec<String> =
            times.iter().map(|(what, time)| format!("{what} {:.2} s", time.as_secs_f64())).collect();
        println!("{size}: {}; page {:.1} MB", words.join(", "), page_bytes as f64 / 1e6);
        assert!(page_bytes < PAGE_BYTES, "{size}: a page of {page_bytes} bytes");
        let all: Duration = times.iter().map(|(_, time)| *time).sum();
        assert!(all < AT_MOST, "{size}: {all:?}");
    }
}
