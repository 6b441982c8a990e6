//! `attach`: join our streams to a running container.

use dhow_engine_api::container::{ContainerInspect, WaitResponse};

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::session::Session;
use crate::terminal::{self, Attachment, Outcome, Stdio, Target};

use super::{path, run, status};

/// Attach to a running container.
#[derive(Debug, clap::Args)]
pub(crate) struct Attach {
    /// Keys that leave the container without ending it
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the process (default true)
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = crate::command::boolean)]
    sig_proxy: bool,
    container: String,
}

impl Verb for Attach {
    const USAGE: &'static str = "[OPTIONS] CONTAINER";
    const ABOUT: &'static str =
        "Attach local standard input, output, and error streams to a running container";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let client = session.client()?;
        let found: ContainerInspect = client.fetch(Call::get(path(&self.container, "json"))).await?;
        let state = found.state;
        for (bad, message) in [
            (!state.running, "You cannot attach to a stopped container, start it first"),
            (state.paused, "You cannot attach to a paused container, unpause it first"),
            (state.restarting, "You cannot attach to a restarting container, wait until it is running"),
        ] {
            if bad {
                return Err(message.into());
            }
        }
        let config = found.config;
        let (id, tty) = (found.id, config.tty);
        let stdin = !self.no_stdin && config.open_stdin;
        if stdin && tty && !terminal::stdin_is_terminal() {
            return Err("the input device is not a TTY".into());
        }
        let keys = if self.detach_keys.is_empty() {
            &session.config().document.detach_keys
        } else {
            &self.detach_keys
        };
        let stdio = Stdio {
            stdin,
            stdout: true,
            stderr: true,
            tty,
            detach: run::detach_keys(session, &self.detach_keys)?,
        };
        if self.sig_proxy && !tty {
            terminal::forward_signals(client, &id);
        } else {
            terminal::abandon_on_signals();
        }
        let query = Query::new()
            .set("stream", "1")
            .flag("stdin", stdin)
            .set("stdout", "1")
            .set("stderr", "1")
            .text("detachKeys", keys);
        let wait = client.send(Call::post(path(&id, "wait"))).await?;
        let hijacked = client.hijack(Call::post(path(&id, "attach")).query(query)).await?;
        let mut attachment = Attachment::start(hijacked, stdio)?;
        if tty && terminal::stdout_is_terminal() {
            terminal::follow(client.clone(), Target::Container(id));
        }
        match attachment.finished().await? {
            Outcome::Detached => Err(Failure::new("read escape sequence")),
            Outcome::Closed => {
                let response: WaitResponse = wait.json("/containers/wait").await?;
                if let Some(error) = response.error.filter(|error| !error.message.is_empty()) {
                    return Err(error.message.into());
                }
                status::result(response.status_code)
            }
        }
    }
}
