//! `context rm`: forget contexts.

use crate::command::Verb;
use crate::error::Failure;
use crate::output::put_line;
use crate::session::Session;

/// Forget contexts.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Forget it even when it is chosen
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    contexts: Vec<String>,
}

impl Verb for Rm {
    const USAGE: &'static str = "CONTEXT [CONTEXT...]";
    const ABOUT: &'static str = "Remove one or more contexts";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut failures: Vec<Failure> = Vec::new();
        for name in &self.contexts {
            match self.remove(session, name) {
                Ok(()) => put_line(name)?,
                Err(failure) => failures.push(failure),
            }
        }
        Failure::join(failures)
    }
}

impl Rm {
    fn remove(&self, session: &Session, name: &str) -> Result<(), Failure> {
        if name == super::DEFAULT {
            return Err("context \"default\" cannot be removed".into());
        }
        let current = session.config().document.current_context == name;
        if current && !self.force {
            return Err(format!("context \"{name}\" is in use, set -f flag to force remove").into());
        }
        let directory = super::find(session, name)?.directory(session.config().directory());
        std::fs::remove_dir_all(&directory)
            .map_err(|error| Failure::io(format!("remove {}", directory.display()), &error))?;
        if current {
            let mut config = session.config_to_change();
            config.document.current_context.clear();
            config.save()?;
        }
        Ok(())
    }
}
