//! `rcluster completions`.

use std::process::ExitCode;

use super::Call;
use crate::cli::CompletionsArgs;
use crate::error::{Error, Result};
use crate::report::Shown;

/// Where each shell finds completions by itself.
const HOW: &str =
    "write the completions of your shell to where it looks for them, and open a new one:
  bash: {rcluster} completions bash > ~/.local/share/bash-completion/completions/rcluster
        (without the package bash-completion: source that file in ~/.bashrc)
  zsh:  {rcluster} completions zsh > ~/.zfunc/_rcluster
        (with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc)
  fish: {rcluster} completions fish > ~/.config/fish/completions/rcluster.fish";

pub(super) fn run(call: &Call, args: &CompletionsArgs) -> Result<ExitCode> {
    let Some(shell) = args.shell else {
        return Err(Error::usage("which shell: bash, zsh or fish?", HOW));
    };
    call.answer(&Shown::Completions(shell.name(), shell.script()))?;
    Ok(ExitCode::SUCCESS)
}
