//! Tests of the program as a user meets it: arguments in, text and exit status out.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bad_input;
mod campaign;
mod data;
mod doctor;
mod physics;
mod resume;
mod support;
mod train;
