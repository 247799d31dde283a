//! Helpers shared by the tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mdproof::bars::Bars;

/// Output and exit status of the program.
pub struct Output {
    pub status: u8,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `mdproof` with the given arguments.
pub fn mdproof<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Output {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let all = std::iter::once(OsString::from("mdproof")).chain(arguments.into_iter().map(Into::into));
    let status = mdproof::run_with(all, &mut stdout, &mut stderr, false, Bars::Quiet);
    Output { status, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
}

/// Returns a path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
