//! `run`: make a container, join our streams to it, start it, and end as it ends.

use crate::client::{Call, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::option::container::ContainerOptions;
use crate::output::put_line;
use crate::session::Session;
use crate::terminal::{self, Attachment, DetachKeys, Outcome, Stdio, Target};

use super::create::{self, CreateOptions};
use super::{path, status};

/// Run a command in a new container.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    container: ContainerOptions,
    #[command(flatten)]
    create: CreateOptions,
    /// Print the container's ID and leave it running
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the container without ending it
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,
    /// Pass signals on to the process (default true)
    #[arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_parser = crate::command::boolean)]
    sig_proxy: bool,
    /// The image, then the command and its arguments.
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Verb for Run {
    const USAGE: &'static str = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
    const ABOUT: &'static str = "Create and run a new container from an image";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let attach_given = !self.container.attach.is_empty();
        let remove = self.container.rm;
        let mut request = create::request(session, "run", self.container, &self.create, self.words)?;
        let config = &mut request.config;
        if self.detach {
            if attach_given {
                return Err("conflicting options: cannot specify both --attach and --detach".into());
            }
            config.attach_stdin = false;
            config.attach_stdout = false;
            config.attach_stderr = false;
            config.stdin_once = false;
        } else if config.attach_stdin && config.tty && !terminal::stdin_is_terminal() {
            return Err("the input device is not a TTY".into());
        }
        let stdio = Stdio {
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
            tty: config.tty,
            detach: detach_keys(session, &self.detach_keys)?,
        };
        let keys = if self.detach_keys.is_empty() {
            &session.config().document.detach_keys
        } else {
            &self.detach_keys
        };
        let failed = |failure| from_container(session, failure);
        let id = create::create(session, request, &self.create).await.map_err(failed)?;
        if !(stdio.stdin || stdio.stdout || stdio.stderr) {
            session
                .client()?
                .done(Call::post(path(&id, "start")))
                .await
                .map_err(Failure::from)
                .map_err(failed)?;
            return put_line(&id);
        }
        attached(session, &id, stdio, keys, remove, self.sig_proxy).await
    }
}

/// The keys of the flag, or of the configuration, or the default ones.
pub(super) fn detach_keys(session: &Session, flag: &str) -> Result<DetachKeys, Failure> {
    let keys = if flag.is_empty() { &session.config().document.detach_keys } else { flag };
    Ok(DetachKeys::parse(keys)?)
}

/// Starts the container with our streams joined to it and waits for its end.
async fn attached(
    session: &Session,
    id: &str,
    stdio: Stdio,
    keys: &str,
    remove: bool,
    forward: bool,
) -> Result<(), Failure> {
    let client = session.client()?;
    let tty = stdio.tty;
    let has_output = stdio.stdout || stdio.stderr;
    if forward {
        terminal::forward_signals(client, id);
    } else {
        terminal::abandon_on_signals();
    }
    let query = Query::new()
        .set("stream", "1")
        .flag("stdin", stdio.stdin)
        .flag("stdout", stdio.stdout)
        .flag("stderr", stdio.stderr)
        .text("detachKeys", keys);
    let hijacked = client.hijack(Call::post(path(id, "attach")).query(query)).await?;
    let mut attachment = Attachment::start(hijacked, stdio)?;
    let mut status = status::expect(client, id, remove).await?;
    if let Err(error) = client.done(Call::post(path(id, "start"))).await {
        terminal::restore();
        if remove {
            status.over().await;
        }
        return Err(from_container(session, error.into()));
    }
    if tty && terminal::stdout_is_terminal() {
        terminal::follow(client.clone(), Target::Container(id.to_owned()));
    }
    tokio::select! {
        biased;
        outcome = attachment.finished() => match outcome? {
            Outcome::Detached => Ok(()),
            Outcome::Closed => status::result(status.code().await),
        },
        code = status.code() => {
            // The last of the output may still be on its way.
            if has_output {
                drop(attachment.finished().await);
            }
            status::result(code)
        }
    }
}

/// A failure of the daemon to create or start, with the exit code that says whose fault it was.
fn from_container(session: &Session, failure: Failure) -> Failure {
    let message = failure.message();
    let has = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    let code = if has(&["executable file not found", "no such file or directory"]) {
        127
    } else if has(&["permission denied", "is a directory"]) {
        126
    } else {
        125
    };
    create::with_help(session, "run", failure).code(code)
}
