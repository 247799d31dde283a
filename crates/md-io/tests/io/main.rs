//! Tests with files of other programs, with invalid files and with the molecules of the repository.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod damaged;
mod dialects;
mod golden;
mod malformed;
mod molecules;
mod round_trip;
