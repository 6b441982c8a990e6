//! What the binary does instead of serving: one command a file.

mod config;
mod gc;
mod repair;
mod verify;

use crate::options::{Command, Options};

/// Runs the command of `options`; `None` when there is none, and we are to serve.
pub(crate) fn run(options: &Options) -> Option<anyhow::Result<()>> {
    Some(match options.command.as_ref()? {
        Command::Verify => verify::run(options),
        Command::Repair => repair::run(options),
        Command::Gc(question) => gc::run(&options.address, question),
        Command::Config(command) => config::run(options, *command),
    })
}

/// Prints a line for whoever called us.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
