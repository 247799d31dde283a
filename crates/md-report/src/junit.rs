//! Checks as test cases, for CI.

use std::time::Duration;

use md_io::results::{Check, Results, Status};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::ReportError;
use crate::checks::{Definition, place, threshold, title, value};

/// JUnit XML: a suite for every model and use, a case for every check, named by key and molecule.
///
/// An undecided check is a failure of type `undecided`, since it is no pass; a skipped one is skipped, with the reason.
/// Cases take no time: what took time is the campaign, whose length is in the reports of the campaign itself.
///
/// # Errors
/// [`ReportError::Junit`].
pub fn junit(results: &Results, definitions: &[Definition]) -> Result<String, ReportError> {
    let mut report = Report::new(format!("mdproof {}", results.campaign.name));
    for model in &results.models {
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

fn case(model: &str, check: &Check, definitions: &[Definition]) -> TestCase {
    let message = || {
        let title = title(definitions, &check.id);
        format!("{title}: {} ({} asked), {}", value(check), threshold(check), place(check, 1))
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
        Status::Skipped => {
            let mut status = TestCaseStatus::skipped();
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
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    #[test]
    fn every_check_is_a_case_and_only_a_pass_passes() {
        let mut checks = [
            fixtures::check("kink", "pass", Some(1e-9), 1e-3),
            fixtures::check("kink", "fail", Some(2.0), 1e-3),
            fixtures::check("rmse", "undecided", Some(0.21), 0.2),
            fixtures::check("rmse", "skipped", None, 0.2),
            fixtures::check("rmse", "pass", Some(0.1), 0.2),
        ];
        checks[1]["molecule"] = json!("<methane> & \"co\"");
        checks[2]["to_decide"] = json!("about 3 more replicas would decide");
        checks[3]["reason"] = json!("no reference");
        checks[4]["use"] = json!("screening");
        let mut results = fixtures::results(vec![fixtures::model("tiny", json!(checks))]);
        results.models.push(fixtures::model("empty", json!([])));
        let definitions =
            [Definition { key: "kink", title: "kink of the energy", definition: "", unit: "eV", source: "" }];

        let report = Report::deserialize_from_str(&junit(&results, &definitions).unwrap()).unwrap();
        assert_eq!((report.tests, report.failures, report.errors), (5, 2, 0));
        let counts: Vec<_> =
            report.test_suites.iter().map(|s| (s.name.as_str(), s.tests, s.failures, s.skipped)).collect();
        assert_eq!(counts, [("tiny.production", 4, 2, 1), ("tiny.screening", 1, 0, 0)]);

        let cases = &report.test_suites[0].test_cases;
        assert_eq!(cases[1].name.as_str(), "kink <methane> & \"co\"");
        assert_eq!(cases[1].classname.as_ref().map(|c| c.as_str()), Some("tiny.production"));
        let told = |case: &TestCase| match &case.status {
            TestCaseStatus::Success { .. } => ("pass".to_owned(), String::new()),
            TestCaseStatus::NonSuccess { ty, message, .. } | TestCaseStatus::Skipped { ty, message, .. } => {
                let text =
                    |s: &Option<quick_junit::XmlString>| s.as_ref().map_or("", |s| s.as_str()).to_owned();
                (text(ty), text(message))
            }
        };
        let pairs: Vec<_> = cases.iter().map(told).collect();
        let expected = [
            ("pass", ""),
            ("threshold", "kink of the energy: 2 (<= 0.001 eV asked), <methane> & \"co\": the structure"),
            ("undecided", "rmse: 0.21 (<= 0.2 eV asked), water: about 3 more replicas would decide"),
            ("", "no reference"),
        ]
        .map(|(kind, message)| (kind.to_owned(), message.to_owned()));
        assert_eq!(pairs, expected);
        let properties: Vec<_> =
            cases[0].properties.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect();
        assert_eq!(properties, [("value", "1e-9"), ("threshold", "<= 0.001"), ("unit", "eV")]);
        assert_eq!(cases[3].properties.len(), 2, "what was not measured has no value");
    }
}
