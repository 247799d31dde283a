//! Tests of the program as a user meets it: arguments in, text and exit status out.

mod bad_input;
mod campaign;
mod support;
