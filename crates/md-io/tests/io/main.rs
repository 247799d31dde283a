//! Files as others write them, files that are broken, and the molecules of the repository.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod damaged;
mod golden;
mod malformed;
mod molecules;
mod round_trip;
