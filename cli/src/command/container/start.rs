//! `start`: start containers again, joined to our streams when asked.

use dhow_engine_api::container::ContainerInspect;

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;
use crate::terminal::{self, Attachment, Outcome, Stdio, Target};

use super::{each, path, run, status};

/// Start containers.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// Attach STDOUT and STDERR, and pass signals on
    #[arg(short, long)]
    attach: bool,
    /// Restore from this checkpoint
    #[arg(long, value_name = "string", default_value = "")]
    checkpoint: String,
    /// Where the checkpoint is
    #[arg(long, value_name = "string", default_value = "")]
    checkpoint_dir: String,
    /// Keys that leave the container without ending it
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,
    /// Attach the container's STDIN
    #[arg(short, long)]
    interactive: bool,
    #[arg(required = true)]
    containers: Vec<String>,
}

impl Verb for Start {
    const USAGE: &'static str = "[OPTIONS] CONTAINER [CONTAINER...]";
    const ABOUT: &'static str = "Start one or more stopped containers";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let query =
            Query::new().text("checkpoint", &self.checkpoint).text("checkpoint-dir", &self.checkpoint_dir);
        if self.attach || self.interactive {
            let [container] = &self.containers[..] else {
                return Err("you cannot start and attach multiple containers at once".into());
            };
            return self.attached(session, container, query).await;
        }
        if !self.checkpoint.is_empty() && self.containers.len() > 1 {
            return Err("you cannot restore multiple containers at once".into());
        }
        each(&self.containers, |name| {
            let call = Call::post(path(&name, "start")).query(query.clone());
            async move {
                client.done(call).await?;
                Ok(Some(name))
            }
        })
        .await
        .map_err(|failure| {
            let names = self.containers.join(", ");
            failure.reword(|message| format!("{message}\nError: failed to start containers: {names}"))
        })
    }
}

impl Start {
    async fn attached(&self, session: &Session, container: &str, query: Query) -> Result<(), Failure> {
        let client = session.client()?;
        let found: ContainerInspect = client.fetch(Call::get(path(container, "json"))).await?;
        let config = found.config;
        let remove = found.host_config.auto_remove;
        let (id, tty) = (found.id, config.tty);
        if !tty {
            terminal::forward_signals(client, &id);
        }
        let keys = if self.detach_keys.is_empty() {
            &session.config().document.detach_keys
        } else {
            &self.detach_keys
        };
        let stdio = Stdio {
            stdin: self.interactive && config.open_stdin,
            stdout: true,
            stderr: true,
            tty,
            detach: run::detach_keys(session, &self.detach_keys)?,
        };
        let attach = Query::new()
            .set("stream", "1")
            .flag("stdin", stdio.stdin)
            .set("stdout", "1")
            .set("stderr", "1")
            .text("detachKeys", keys);
        let hijacked = client.hijack(Call::post(path(&id, "attach")).query(attach)).await?;
        let mut attachment = Attachment::start(hijacked, stdio)?;
        let mut status = status::expect(client, &id, remove).await?;
        if let Err(error) = client.done(Call::post(path(&id, "start")).query(query)).await {
            terminal::restore();
            if remove {
                status.over().await;
            }
            return Err(error.into());
        }
        if tty && terminal::stdout_is_terminal() {
            terminal::follow(client.clone(), Target::Container(id));
        }
        match attachment.finished().await? {
            Outcome::Detached => Ok(()),
            Outcome::Closed => status::result(status.code().await),
        }
    }
}
