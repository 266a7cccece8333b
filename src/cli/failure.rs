//! How the program ends when something went wrong.

use super::output::{self, complain};
use super::parallel;
use mtl_zoo::Error;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

/// Runs the program: an error is printed with its remedy, a bug with an apology; both become an exit code.
pub fn catch(run: fn() -> anyhow::Result<ExitCode>) -> ExitCode {
    panic::set_hook(Box::new(apologise));
    let ended = panic::catch_unwind(|| {
        let ended = run();
        // What all ranks come to at the same time is said once.
        if ended.as_ref().err().is_none_or(parallel::is_common) {
            let silent = ended.is_err() && parallel::follows();
            ended.as_ref().err().filter(|_| !silent).into_iter().for_each(tell);
            parallel::finish()?;
            return Ok(ended.unwrap_or_else(|error| ExitCode::from(code(&error))));
        }
        ended
    });
    match ended {
        Ok(Ok(code)) => code,
        Ok(Err(error)) if is_broken_pipe(&error) => {
            let _ = parallel::finish();
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            tell(&error);
            parallel::abort(code(&error));
            ExitCode::from(code(&error))
        }
        Err(_) => {
            parallel::abort(FAILED);
            ExitCode::from(FAILED)
        }
    }
}

fn tell(error: &anyhow::Error) {
    complain(format_args!("{} {}", output::red("error:"), message(error)));
}

/// Exit code of what is not the user's.
const FAILED: u8 = 1;

/// 2 for what the user wrote, 1 for all else.
fn code(error: &anyhow::Error) -> u8 {
    match error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        Some(Error::Recipe(_) | Error::Argument(_)) => 2,
        _ => FAILED,
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
    complain(format_args!(
        "{} this is a bug in mtl-zoo {}, we are sorry: {what}{place}\n  help: please report it with this message, the \
         command and, if you can, the recipe; RUST_BACKTRACE=1 adds what helps most. A run that was training can go on \
         from its last saved state with `mtl-zoo finetune --resume DIR`",
        output::red("error:"),
        env!("CARGO_PKG_VERSION"),
    ));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        complain(backtrace);
    }
}
