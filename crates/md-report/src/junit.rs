//! Exports checks as test cases for CI.

use std::time::Duration;

use md_results::{Check, Definition, Results, Status, title};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::ReportError;
use crate::checks::{place, threshold, value};
use crate::words::unfinished;

/// Returns JUnit XML with a suite for every model and use, and a case for every check, named by key and molecule. They
/// are preceded by a case for each model's verdict, which fails if it is not the expected one (or nothing was
/// measured), by a case that fails if the campaign is unfinished, and by a skipped case for each of
/// [`Results::remarks`].
///
/// An undecided check is a failure of type `undecided`, since it is no pass; a skipped one is skipped, with the reason.
/// Cases have no duration: the reports of the campaign contain its duration.
///
/// # Errors
/// [`ReportError::Junit`].
pub fn junit(results: &Results, definitions: &[Definition]) -> Result<String, ReportError> {
    let mut report = Report::new(format!("mdproof {}", results.campaign.name));
    if let Some(unfinished) = unfinished(results) {
        let mut suite = TestSuite::new("campaign");
        suite.set_time(Duration::ZERO);
        suite.add_test_case(plain("finished", "campaign", Some(("unfinished", &unfinished))));
        report.add_test_suite(suite);
    }
    if !results.remarks.is_empty() {
        let mut suite = TestSuite::new("results file");
        suite.set_time(Duration::ZERO);
        suite.add_test_cases(results.remarks.iter().map(|remark| {
            let mut case = plain("vouches for itself", "results file", None);
            case.status = TestCaseStatus::skipped();
            case.status.set_message(remark.as_str());
            case
        }));
        report.add_test_suite(suite);
    }
    for model in &results.models {
        if let Some(verdict) = model.verdict {
            let mut suite = TestSuite::new(format!("{}.verdict", model.name));
            suite.set_time(Duration::ZERO);
            let met = model.is_as_expected();
            let message = format!("{}: {}", verdict.label(), model.summary);
            let failure = (!met).then_some((verdict.label(), message.as_str()));
            suite.add_test_case(plain("as expected", &suite.name, failure));
            report.add_test_suite(suite);
        }
        let mut uses: Vec<&str> = Vec::new();
        for check in &model.checks {
            if !uses.contains(&check.use_name.as_str()) {
                uses.push(&check.use_name);
            }
        }
        for use_name in uses {
            let mut suite = TestSuite::new(format!("{}.{use_name}", model.name));
            suite.set_time(Duration::ZERO);
            suite.add_property(Property::new("summary", model.summary.as_str()));
            for check in model.checks.iter().filter(|c| c.use_name == use_name) {
                suite.add_test_case(case(&model.name, check, definitions));
            }
            report.add_test_suite(suite);
        }
    }
    Ok(report.to_string()?)
}

/// Creates a case other than a check; `failure` has its type and message.
fn plain(name: &str, class: &str, failure: Option<(&str, &str)>) -> TestCase {
    let status = match failure {
        Some((kind, message)) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(kind).set_message(message);
            status
        }
        None => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(class).set_time(Duration::ZERO);
    case
}

fn case(model: &str, check: &Check, definitions: &[Definition]) -> TestCase {
    let message = || {
        let title = title(definitions, &check.id);
        format!("{title} = {} (limit: {}), {}", value(check), threshold(check), place(check, 1))
    };
    let failure = |kind: &str| {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_type(kind).set_message(message());
        status
    };
    let status = match check.status {
        Status::Pass => TestCaseStatus::success(),
        Status::Fail => failure("threshold"),
        Status::Undecided => failure("undecided"),
        Status::Skipped | Status::NotApplicable => {
            let mut status = TestCaseStatus::skipped();
            if check.status == Status::NotApplicable {
                status.set_type("not_applicable");
            }
            status.set_message(check.reason.as_str());
            status
        }
    };
    let mut case = TestCase::new(format!("{} {}", check.id, check.molecule), status);
    case.set_classname(format!("{model}.{}", check.use_name)).set_time(Duration::ZERO);
    // All digits, for programs.
    case.add_properties(check.value.map(|v| Property::new("value", format!("{v:?}"))));
    case.add_property(Property::new("threshold", format!("{} {}", check.sign(), check.threshold)));
    case.add_property(Property::new("unit", check.unit.as_str()));
    case
}

#[cfg(test)]
mod tests {
    use md_results::Verdict;
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    #[test]
    fn junit_has_case_per_check_and_passes_only_pass() {
        let mut checks = [
            fixtures::check("kink", "pass", Some(1e-9), 1e-3),
            fixtures::check("kink", "fail", Some(2.0), 1e-3),
            fixtures::check("rmse", "undecided", Some(0.21), 0.2),
            fixtures::check("rmse", "skipped", None, 0.2),
            fixtures::check("rmse", "pass", Some(0.1), 0.2),
            fixtures::check("equivalence", "not_applicable", None, 0.2),
        ];
        checks[5]["reason"] = json!("one implementation");
        checks[1]["molecule"] = json!("<methane> & \"co\"");
        checks[2]["to_decide"] = json!("about 3 more replicas would decide");
        checks[3]["reason"] = json!("no reference");
        checks[4]["use"] = json!("screening");
        let mut results = fixtures::results(vec![fixtures::model("tiny", json!(checks))]);
        results.models.push(fixtures::model("empty", json!([])));
        let definitions =
            [Definition { key: "kink", title: "kink of the energy", definition: "", unit: "eV", source: "" }];

        let report = Report::deserialize_from_str(&junit(&results, &definitions).unwrap()).unwrap();
        assert_eq!((report.tests, report.failures, report.errors), (8, 2, 0));
        let counts: Vec<_> =
            report.test_suites.iter().map(|s| (s.name.as_str(), s.tests, s.failures, s.skipped)).collect();
        let expected = [
            ("tiny.verdict", 1, 0, 0),
            ("tiny.production", 5, 2, 2),
            ("tiny.screening", 1, 0, 0),
            ("empty.verdict", 1, 0, 0),
        ];
        assert_eq!(counts, expected);

        let cases = &report.test_suites[1].test_cases;
        assert_eq!(cases[1].name.as_str(), "kink <methane> & \"co\"");
        assert_eq!(cases[1].classname.as_ref().map(|c| c.as_str()), Some("tiny.production"));
        let line = |case: &TestCase| match &case.status {
            TestCaseStatus::Success { .. } => ("pass".to_owned(), String::new()),
            TestCaseStatus::NonSuccess { ty, message, .. } | TestCaseStatus::Skipped { ty, message, .. } => {
                let text =
                    |s: &Option<quick_junit::XmlString>| s.as_ref().map_or("", |s| s.as_str()).to_owned();
                (text(ty), text(message))
            }
        };
        let pairs: Vec<_> = cases.iter().map(line).collect();
        let expected = [
            ("pass", ""),
            ("threshold", "kink of the energy = 2 (limit: <= 0.001 eV), <methane> & \"co\": the structure"),
            ("undecided", "rmse = 0.21 (limit: <= 0.2 eV), water: about 3 more replicas would decide"),
            ("", "no reference"),
            ("not_applicable", "one implementation"),
        ]
        .map(|(kind, message)| (kind.to_owned(), message.to_owned()));
        assert_eq!(pairs, expected);
        let properties: Vec<_> =
            cases[0].properties.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(properties, [("value", "1e-9"), ("threshold", "<= 0.001"), ("unit", "eV")]);
        assert_eq!(cases[3].properties.len(), 2, "what was not measured has no value");
    }

    #[test]
    fn junit_fails_on_unfinished_campaign_or_unexpected_verdict() {
        let mut results = fixtures::results(vec![fixtures::model("tiny", json!([]))]);
        results.campaign.finished.clear();
        (results.models[0].verdict, results.models[0].expected) =
            (Some(Verdict::Incomplete), Some(Verdict::Approved.into()));
        let report = Report::deserialize_from_str(&junit(&results, &[]).unwrap()).unwrap();
        let names: Vec<_> = report.test_suites.iter().map(|s| (s.name.as_str(), s.failures)).collect();
        assert_eq!(names, [("campaign", 1), ("tiny.verdict", 1)]);
        results.models[0].expected = Some(Verdict::Incomplete.into());
        results.campaign.finished = "2026-01-01T00:00:00Z".to_owned();
        let report = Report::deserialize_from_str(&junit(&results, &[]).unwrap()).unwrap();
        assert_eq!((report.tests, report.failures), (1, 0));
    }
}
