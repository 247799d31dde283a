//! Exit statuses, identical for all commands.

use std::io;

use md_criteria::Outcome;
use md_driver::CampaignError;

/// Every model meets the expectation of the campaign, or the command succeeded.
pub const AS_EXPECTED: u8 = 0;
/// A model does not meet the expectation of the campaign, there is a regression, or the machine is not ready.
pub const NOT_AS_EXPECTED: u8 = 1;
/// Bad input or usage.
pub const BAD_INPUT: u8 = 2;
/// Data are missing, or two results cannot be compared.
pub const INCOMPLETE: u8 = 3;
/// Interrupted by a signal, a full disk or a limit on the size of files, with the measurements saved. `EX_TEMPFAIL` of `sysexits.h`: queueing systems
/// try again.
pub const INTERRUPTED: u8 = 75;

/// Table of exit statuses in `--help`.
pub const TABLE: &str = "\
Exit status:
  0   as expected: every model met what the campaign expects of it; no regression
  1   not as expected: a model did not; a regression; a problem that doctor found
  2   bad input or usage
  3   incomplete: data are missing, no model was judged, the campaign is unfinished, or
      results cannot be compared
  75  interrupted by a signal, a full disk or a limit on the size of files, with what was
      measured saved: validate and train continue with --resume, other commands are given again";

/// Returns the exit status of a failed command: interrupted if its state is saved or the disk is full, else bad input.
pub fn status_of(error: &anyhow::Error) -> u8 {
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
            )
        })
    };
    match error.downcast_ref::<CampaignError>() {
        Some(CampaignError::Interrupted | CampaignError::Storage(_)) => INTERRUPTED,
        _ if error.chain().any(is_full) => INTERRUPTED,
        _ => BAD_INPUT,
    }
}

/// Returns the exit status for the outcome of a campaign.
pub fn status_of_campaign(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Met => AS_EXPECTED,
        Outcome::NotMet => NOT_AS_EXPECTED,
        Outcome::Incomplete => INCOMPLETE,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn status_of_separates_interrupts_from_bad_input() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        for (error, status) in [
            (anyhow!("an unknown key"), BAD_INPUT),
            (anyhow!(denied()).context("cannot write a.xyz"), BAD_INPUT),
            (anyhow!(full()).context("cannot write a.xyz"), INTERRUPTED),
            (anyhow!(CampaignError::Interrupted), INTERRUPTED),
            (
                Err::<(), _>(CampaignError::Storage(denied().into())).context("make room").unwrap_err(),
                INTERRUPTED,
            ),
        ] {
            assert_eq!(status_of(&error), status, "{error:#}");
        }
    }

    #[test]
    fn exit_table_and_readme_list_every_status() {
        let readme = include_str!("../../../README.md");
        let words = |text: &str| text.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ");
        let rows = |text: &str| -> Vec<String> {
            let rows = text.lines().skip_while(|line| !line.starts_with("| exit status")).skip(2);
            rows.take_while(|line| line.starts_with('|'))
                .map(|line| words(&line.trim_matches('|').replace('|', " ")))
                .collect()
        };
        assert_eq!(words(TABLE), format!("Exit status: {}", rows(readme).join(" ")), "one table");
        for status in [AS_EXPECTED, NOT_AS_EXPECTED, BAD_INPUT, INCOMPLETE, INTERRUPTED] {
            assert!(TABLE.contains(&format!("\n  {status} ")), "{status}");
            assert!(readme.contains(&format!("\n| {status} |")), "{status}");
        }
    }
}
