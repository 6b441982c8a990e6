//! `logout`: forget credentials for a registry.

use crate::command::Verb;
use crate::config::DEFAULT_REGISTRY;
use crate::error::Failure;
use crate::output::put_line;
use crate::session::Session;

/// Forget credentials for a registry.
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    server: Option<String>,
}

impl Verb for Logout {
    const USAGE: &'static str = "[SERVER]";
    const ABOUT: &'static str = "Log out from a registry";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let registry = super::login::registry(self.server.as_deref());
        let mut config = session.config_to_change();
        put_line(&format!("Removing login credentials for {registry}"))?;
        config.erase(&registry)?;
        if registry != DEFAULT_REGISTRY {
            // Older programs kept them under other spellings.
            for spelling in [format!("http://{registry}"), format!("https://{registry}")] {
                if config.document.auths.contains_key(&spelling) {
                    config.erase(&spelling)?;
                }
            }
        }
        Ok(())
    }
}
