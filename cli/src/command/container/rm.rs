//! `rm`: remove containers.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::warn;
use crate::session::Session;

use super::each;

/// Remove containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Kill the container when it runs (SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove this link, not a container
    #[arg(short, long)]
    link: bool,
    /// Remove its anonymous volumes too
    #[arg(short, long)]
    volumes: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Rm {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Remove one or more containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let query = Query::new().flag("force", self.force).flag("link", self.link).flag("v", self.volumes);
        each(&self.containers, |name| {
            let query = query.clone();
            let force = self.force;
            async move {
                let bare = name.trim_matches('/');
                if bare.is_empty() {
                    return Err("Container name cannot be empty".into());
                }
                let path = format!("/containers/{}", crate::client::query::escape_path(bare));
                match client.done(Call::delete(path).query(query)).await {
                    Err(error) if force && error.is_not_found() => {
                        warn(&error.to_string());
                        Ok(None)
                    }
                    result => result.map(|()| Some(name)).map_err(Failure::from),
                }
            }
        })
        .await
    }
}
