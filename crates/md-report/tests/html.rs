//! Tests the contents of `report.html` and that they come from the records.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod fixture;

use fixture::{DEFINITIONS, GOOD, ODD};
use md_report::{ReportError, html, trajectories};
use md_results::{Results, SeriesId};

fn page(results: &Results) -> String {
    html(results, &DEFINITIONS, &fixture::moving()).unwrap()
}

/// Returns the page without styles, scripts and their data.
fn text(results: &Results) -> String {
    let page = page(results);
    page[page.find("<body>").unwrap()..page.find("<script").unwrap()].to_owned()
}

#[test]
fn html_check_numbers_come_from_record() {
    let before = text(&fixture::full());
    assert!(before.contains("0.1234 ± 2e-2") || before.contains("0.1234 ± 2.0e-2"), "half of the interval");
    assert!(before.contains("0.7391 (s.e. 6.2e-2)") || before.contains("0.7391 (s.e. 6.3e-2)"));
    let mut results = fixture::full();
    let check = &mut results.models[1].checks[0];
    (check.value, check.interval) = (Some(0.2217), Some([0.1717, 0.2717]));
    (check.threshold, check.at_least, check.reason) = (0.3331, true, "another reason".to_owned());
    let after = text(&results);
    for news in ["0.2217 ± 5.0e-2", "&gt;= 0.3331 u", "another reason", "data-sort=\"0.2217\""] {
        assert!(!before.contains(news) && after.contains(news), "{news}");
    }
}

#[test]
fn html_text_comes_from_records() {
    let said = text(&fixture::full());
    for words in [
        "summary of good",
        "turns badly",
        "train on turned frames",
        "water survives",
        "runs end after 1 ps",
        "the disk was full",
        "c0ffee",
        "abc123",
        "86.25",
        "more replicas would decide",
        "the slope of E(t)&#x2f;N",
        "a tenth of kT in 10 ps",
        "set by the campaign file",
        "set by the default of the program",
        "falls as the square",
        "62.5 %",
        "4x",
        "87.5 MiB",
        "<td class=short>1601</td>",
        "1.875",
        "0.0347",
    ] {
        assert!(said.contains(words), "{words}");
    }
    let mut results = fixture::full();
    results.models[1].summary = "a new summary".to_owned();
    results.speed.iter_mut().for_each(|s| s.ms_per_step = 0.5678);
    let said = text(&results);
    assert!(said.contains("a new summary") && said.contains("0.5678") && !said.contains("summary of good"));
}

#[test]
fn html_escapes_names_in_page_and_data() {
    let page = page(&fixture::full());
    assert!(!page.contains(ODD), "as written it would be markup");
    assert!(page.contains("&lt;b&gt;&amp;&quot;x"), "in the page");
    assert!(page.contains("\\u003cb>&\\\"x"), "in the data");
    assert!(!page.contains("a </script> campaign"));
    assert!(page.contains("a &lt;&#x2f;script&gt; campaign"));
}

#[test]
fn html_loads_no_external_resources() {
    let page = page(&fixture::full());
    for outside in ["<link", "<img", "<iframe", "<script src", "@import", "url("] {
        let own = &page[..page.find("<script>").unwrap()];
        assert!(!own.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"), "and nothing may be");
}

#[test]
fn html_names_missing_panels_with_reason() {
    let said = text(&fixture::old());
    for title in
        ["energy against time", "kinetic temperature", "velocity spectrum", "energy of two atoms alone"]
    {
        assert!(said.contains(&format!("<b>{title}</b>: not shown:")), "{title}");
    }
    assert!(said.contains("velocity spectrum</b>: not shown: the disk was full"), "the recorded failure");
    assert!(said.contains("bond lengths</b>: not shown: no reference trajectories"));
    assert!(!text(&fixture::full()).contains("energy of two atoms alone</b>: not shown: these results"));

    let mut results = fixture::old();
    results.evaluations.clear();
    assert!(text(&results).contains("force errors</b>: not shown: no reference frames"));
    results.models.clear();
    results.machine.clear();
    let said = html(&results, &[], &[]).unwrap();
    for reason in ["no model was judged", "hold no checks", "no model to compare", "no frames were given"] {
        assert!(said.contains(reason), "{reason}");
    }
}

#[test]
fn html_trajectories_show_broken_runs_first() {
    let page = page(&fixture::full());
    let data = &page[page.find("id=\"trajectory-data\">").unwrap()..];
    let data = &data[data.find('[').unwrap()..data.find("</script>").unwrap()];
    let shown: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!((&shown[0]["model"], &shown[0]["broke"]), (&ODD.into(), &true.into()));
    assert_eq!(shown[0]["ended"], "diverged: the bond 0-1 stretched");
    assert_eq!(shown[0]["frames"][1], serde_json::json!([0, 0, 100, 0, 1760, -500, 0, -760, -500]));
    assert_eq!((&shown[1]["model"], &shown[1]["broke"]), (&GOOD.into(), &false.into()));
}

#[test]
fn html_run_names_are_unique() {
    let names = |change: fn(&mut Results)| {
        let mut results = fixture::full();
        results.runs[1].replica = 0;
        change(&mut results);
        let said = text(&results);
        let named = said.split("<td class=short>").skip(1).chain(said.split("<td>").skip(1));
        let cells = named.filter_map(|rest| rest.split("</td>").next());
        let mut runs: Vec<String> = cells.filter(|c| c.contains("replica")).map(str::to_owned).collect();
        runs.sort();
        runs
    };
    let has = |names: &[String], name: &str| names.iter().any(|n| n == name);
    let given = names(|r| r.runs[1].relaxed = false);
    assert!(has(&given, "300 K, replica 0") && has(&given, "300 K, as given, replica 0"), "{given:?}");
    let longer = names(|r| r.runs[1].steps_planned *= 2);
    assert!(has(&longer, "300 K, 1 ps, replica 0") && has(&longer, "300 K, 2 ps, replica 0"), "{longer:?}");
    let alike = names(|_| {});
    assert!(has(&alike, "300 K, replica 0 (good&#x2f;water&#x2f;r1)"), "{alike:?}");
}

#[test]
fn html_draws_series_of_unknown_id_from_columns() {
    let mut results = fixture::full();
    assert!(!text(&results).contains("Other curves"));
    let mut other = results.series[0].clone();
    other.id = SeriesId::Other("mean_square_displacement".to_owned());
    (other.y[0].name, other.y[0].unit) = ("displacement".to_owned(), "Å²".to_owned());
    other.y.truncate(1);
    results.series.push(other);
    assert!(text(&results).contains("Other curves"));
    let page = page(&results);
    assert!(page.contains("\"title\":\"mean square displacement\""));
    assert!(page.contains("displacement (Å²)"));
}

#[test]
fn trajectories_groups_frames_by_run() {
    let frame = |run: &str, time: &str, x: f64| {
        format!(
            "2\nProperties=species:S:1:pos:R:3:model_forces:R:3 model_energy=-1 pbc=\"F F F\" model=m molecule=hf run={run} \
             temperature_K=300 {time}\nH 0 0 0 1 0 0\nF {x} 0 0 -1 0 0\n"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.extxyz");
    let write = |text: String| std::fs::write(&path, text).unwrap();
    write(frame("a", "time_ps=0.5", 0.9) + &frame("a", "time_ps=1", 1.1) + &frame("b", "time_ps=0.5", 0.8));
    let read = trajectories(&path).unwrap();
    assert_eq!(
        read.iter().map(|t| (t.run.as_str(), t.frames.len())).collect::<Vec<_>>(),
        [("a", 2), ("b", 1)]
    );
    assert_eq!((read[0].temperature_k, read[0].symbols.join("")), (Some(300.0), "HF".to_owned()));
    assert_eq!(read[0].frames[1], (1.0, vec![[0.0; 3], [1.1, 0.0, 0.0]]));
    assert!(read[0].radii.iter().all(Option::is_some));

    write(frame("a", "time_ps=0.5", 0.9) + &frame("a", "", 0.9));
    let error = trajectories(&path).unwrap_err();
    assert!(
        matches!(error, ReportError::Frame { frame: 1, .. }) && error.to_string().contains("time_ps"),
        "{error}"
    );
}
