//! `config`: what the configuration is, without starting.

use crate::config::{Document, migrate};
use crate::options::{ConfigCommand, Options};

/// Prints what was asked for, as a file.
pub(super) fn run(options: &Options, command: ConfigCommand) -> anyhow::Result<()> {
    let file = || options.config.as_deref().map(Document::load).transpose();
    let document = match command {
        ConfigCommand::Default => Options::defaults(),
        ConfigCommand::Dump => match file()? {
            Some(file) => Options::defaults().overlaid(file),
            None => Options::defaults(),
        },
        ConfigCommand::Migrate => match file()? {
            Some(file) => migrate(file),
            None => anyhow::bail!("no configuration to migrate: give --config FILE"),
        },
    };
    super::say(document.text()?.trim_end())
}
