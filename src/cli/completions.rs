//! `mtl-zoo completions`

use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  mtl-zoo completions bash > ~/.local/share/bash-completion/completions/mtl-zoo
  mtl-zoo completions zsh  > ~/.zfunc/_mtl-zoo
  mtl-zoo completions fish > ~/.config/fish/completions/mtl-zoo.fish";

/// Print a shell's completion script.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub fn run(self, command: &mut clap::Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "mtl-zoo", &mut script);
        Ok(super::output::print(String::from_utf8(script)?.trim_end())?)
    }
}
