//! `mdproof`: may this machine-learned force field run production molecular dynamics?

use std::process::ExitCode;

/// Tensors are allocated and freed at every operation; the C library's allocator gives their pages back each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let status = mdproof::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr());
    ExitCode::from(status)
}
