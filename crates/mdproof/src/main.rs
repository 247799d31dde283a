//! `mdproof`: may this machine-learned force field run production molecular dynamics?

use std::process::ExitCode;

/// Tensors are allocated and freed in every operation, and the allocator of the C library returns their pages each
/// time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let status = mdproof::run(std::env::args_os(), &mut std::io::stdout(), &mut std::io::stderr());
    ExitCode::from(status)
}
