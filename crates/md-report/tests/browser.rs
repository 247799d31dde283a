//! Tests the report in a browser: scripts run without errors, plots have data, tables can be sorted and filtered.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod fixture;

use std::path::{Path, PathBuf};
use std::process::Command;

use fixture::{DEFINITIONS, ODD};
use md_report::html;
use serde_json::{Value, json};

/// Script that records errors, inserted before any script of the page.
const WATCH: &str = "<script>window.seenErrors = [];
window.addEventListener('error', (e) => seenErrors.push(String(e.message)));
window.addEventListener('unhandledrejection', (e) => seenErrors.push(String(e.reason)));
document.addEventListener('securitypolicyviolation', (e) => seenErrors.push('fetches ' + e.blockedURI));
console.error = (...parts) => seenErrors.push(parts.join(' '));</script>";

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name))).find(|p| p.is_file())
}

/// Returns what the test script observed in the page at `path`.
fn seen(chromium: &Path, folder: &Path, page: &str) -> Value {
    let path = folder.join("report.html");
    let script = include_str!("browser.js");
    let page = page.replacen("<body>", &format!("<body>{WATCH}"), 1);
    let end = page.rfind("</body>").unwrap();
    let page = format!("{}<script>{script}</script>{}", &page[..end], &page[end..]);
    std::fs::write(&path, page).unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .args(["--window-size=1300,1000", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("file://{}", path.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let start = dom.find("id=\"seen\">").unwrap_or_else(|| {
        panic!("the script did not end: {}", String::from_utf8_lossy(&output.stderr));
    });
    let json = &dom[start + "id=\"seen\">".len()..];
    serde_json::from_str(&json[..json.find("</script>").unwrap()]).unwrap()
}

#[test]
fn html_report_works_in_chromium() {
    let Some(chromium) = chromium() else {
        let required = std::env::var_os("MDPROOF_REQUIRE_ALL").is_some();
        assert!(!required, "there is no chromium on PATH, and MDPROOF_REQUIRE_ALL is set");
        println!("skipped: no chromium on PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let page = html(&fixture::full(), &DEFINITIONS, &fixture::moving()).unwrap();
    let seen = seen(&chromium, folder.path(), &page);
    assert_eq!(seen["errors"], json!([]));
    assert_eq!(seen["empty"], json!([]), "plots without data");
    let drawn: Vec<&str> = seen["drawn"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let times = |title: &str| drawn.iter().filter(|t| **t == title).count();
    // Two models on water only, or on two molecules, or data that only one of them has.
    for (title, n) in [
        ("water", 1),
        ("methane", 1),
        ("energy against time", 2),
        ("drift by replica", 4),
        ("kinetic temperature", 2),
        ("kinetic and potential energy", 2),
        ("runs that survive", 2),
        ("forces, predicted against reference", 2),
        ("force errors", 2),
        ("force error against time", 4),
        ("bond lengths", 2),
        ("velocity spectrum", 2),
        ("energy as an atom leaves", 2),
        ("energy as the molecule is turned", 2),
        ("energy of two atoms alone", 2),
        ("slope of each part of the energy", 1),
        ("drift under other conditions", 1),
        ("fluctuation of the total over that of the kinetic energy", 4),
    ] {
        assert_eq!(times(title), n, "{title} in {drawn:?}");
    }

    let checks = &seen["checks"];
    assert_eq!(
        checks["buttons"].as_array().unwrap().len(),
        4,
        "none that sends data away: {}",
        checks["buttons"]
    );
    let csv = checks["csv"].as_str().unwrap();
    assert!(csv.starts_with("trace,time (ps),change of energy (meV/atom),error\n"), "{csv}");
    assert!(csv.contains("fit: 0.4321 meV/atom/ps,0.98,"), "{csv}");

    let (stable, drift, rmse) = ("stable_ps", "energy_drift_meV_per_atom_per_ps", "force_rmse");
    assert_eq!(checks["unsorted"], json!([stable, drift, rmse]), "the order of the definitions");
    assert_eq!(checks["ascending"], json!([drift, rmse, stable]));
    assert_eq!(checks["descending"], json!([stable, rmse, drift]));
    assert_eq!((&checks["closed"], &checks["expanded"]), (&json!(3), &json!(5)));
    assert_eq!(
        checks["uses"],
        json!(["engine", "production:", "production:"].map(|u| u.trim_end_matches(':')))
    );
    assert_eq!(checks["modelsLeft"], json!(["good"]));
    assert_eq!(checks["runsLeft"], json!(["good/water/r0"]));
    assert_eq!(checks["moleculesLeft"], json!(["methane"]));
    assert_eq!(checks["statusesLeft"], json!(["UNDECIDED", "UNDECIDED"]));

    let themes = checks["themes"].as_array().unwrap();
    assert_eq!(themes.iter().map(|t| &t[0]).collect::<Vec<_>>(), ["light", "dark", "auto"]);
    assert_eq!(themes[0][1], "rgb(255, 255, 255)");
    assert_ne!(themes[0][1], themes[1][1]);

    assert_eq!(checks["firstRun"], format!("✗ {ODD}/water/r1"));
    assert_eq!(checks["end"], "diverged: the bond 0-1 stretched; 4 frames were kept");
    assert_eq!((&checks["playing"], &checks["painted"]), (&json!("play"), &json!(true)), "played to the end");
    assert!(checks["time"].as_str().unwrap().starts_with("0.3"), "{}", checks["time"]);
    assert_eq!(checks["left"], 0, "closed sections keep no plots");
}
