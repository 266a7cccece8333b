//! The command line: one file a command. Results go to stdout, everything else to stderr.

mod completions;
mod device;
mod dry_run;
mod eval;
mod export;
pub mod failure;
mod finetune;
mod inspect;
mod list;
mod merge;
mod output;
pub mod parallel;
mod predict;
mod predict_input;
mod predict_output;
mod progress;
#[cfg(feature = "hub")]
mod pull;
#[cfg(feature = "hub")]
mod push;
mod recipe_args;
mod show;
mod sources;
mod study;
mod study_progress;
mod study_summary;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use mtl_zoo::Problem;
use std::path::Path;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo finetune sentiment            four tasks on one backbone, with what is bundled
  mtl-zoo finetune my.toml --dry-run    look at data, settings and length before training
  mtl-zoo predict runs/sentiment/checkpoint \"what a day\"
  mtl-zoo list                          what there is to begin with

Results go to stdout, progress and warnings to stderr.
Exit codes: 0 done, 1 failed, 2 bad usage or recipe.";

/// Fine-tune one pretrained backbone on several tasks at once, and use the result.
///
/// A recipe names a backbone and tasks. `finetune` trains them jointly and writes a checkpoint: the backbone with one head
/// for each task. `predict` answers all heads from one pass of the backbone.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 110, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Finetune(Box<finetune::Finetune>),
    Study(Box<study::Study>),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Inspect(inspect::Inspect),
    Export(export::Export),
    List(list::List),
    Merge(merge::Merge),
    Show(show::Show),
    #[cfg(feature = "hub")]
    Pull(pull::Pull),
    #[cfg(feature = "hub")]
    Push(push::Push),
    Completions(completions::Completions),
}

/// Reads the arguments and does what they say.
pub fn run() -> anyhow::Result<ExitCode> {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Finetune(command) => {
            let given = matches.subcommand_matches("finetune");
            command.run(|flag| {
                given.is_some_and(|given| given.value_source(flag) == Some(clap::parser::ValueSource::CommandLine))
            })
        }
        Command::Study(command) => command.run(),
        Command::Eval(command) => done(command.run()),
        Command::Predict(command) => done(command.run()),
        Command::Inspect(command) => done(command.run()),
        Command::Export(command) => done(command.run()),
        Command::List(command) => done(command.run()),
        Command::Merge(command) => done(command.run()),
        Command::Show(command) => done(command.run()),
        #[cfg(feature = "hub")]
        Command::Pull(command) => done(command.run()),
        #[cfg(feature = "hub")]
        Command::Push(command) => done(command.run()),
        Command::Completions(command) => done(command.run(&mut Cli::command())),
    }
}

fn done(result: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// An error about an argument: what was found, what was expected, what to do, and which one.
fn argument(found: &str, expected: &str, help: &str, key: &str) -> anyhow::Error {
    Problem::new(found, expected, help).key(key).argument().into()
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-~+@".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
