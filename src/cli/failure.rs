//! How the program ends when something went wrong.

use super::output::{self, note};
use mtl_zoo::Error;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

/// Runs the program: an error is printed with its remedy, a bug with an apology; both become an exit code.
pub fn catch(run: fn() -> anyhow::Result<ExitCode>) -> ExitCode {
    panic::set_hook(Box::new(apologise));
    match panic::catch_unwind(run) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            note(format_args!("{} {}", output::red("error:"), message(&error)));
            code(&error)
        }
        Err(_) => ExitCode::FAILURE,
    }
}

/// 2 for what the user wrote, 1 for all else.
fn code(error: &anyhow::Error) -> ExitCode {
    match error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        Some(Error::Recipe(_) | Error::Argument(_)) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// Contexts and the library's own message, which holds all that lies below it.
fn message(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        parts.push(cause.to_string());
        if cause.is::<Error>() {
            break;
        }
    }
    parts.join(": ")
}

/// Whether nobody reads the results any more, as in `mtl-zoo predict … | head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let causes = || error.chain();
    causes().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

fn apologise(panic: &PanicHookInfo) {
    let what = panic.payload_as_str().unwrap_or("something unexpected");
    let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    note(format_args!(
        "{} this is a bug in mtl-zoo {}, we are sorry: {what}{place}\n  help: please report it with this message, the \
         command and, if you can, the recipe; RUST_BACKTRACE=1 adds what helps most. A run that was training can go on \
         from its last saved state with `mtl-zoo finetune --resume DIR`",
        output::red("error:"),
        env!("CARGO_PKG_VERSION"),
    ));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        note(backtrace);
    }
}
