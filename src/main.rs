//! The `mtl-zoo` command: see `cli/` for its parts, and the library for what they call.

mod cli;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::failure::catch(cli::run)
}
