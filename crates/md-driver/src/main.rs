//! `mdproof`: may this machine-learned force field run production molecular dynamics?

use std::process::ExitCode;

fn main() -> ExitCode {
    let status = md_driver::cli::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr());
    ExitCode::from(status)
}
