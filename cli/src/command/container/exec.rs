//! `exec`: run a command in a running container.

use dhow_engine_api::exec::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdResponse};

use crate::client::Call;
use crate::command::Verb;
use crate::error::Failure;
use crate::option::{env, list};
use crate::session::Session;
use crate::terminal::{self, Attachment, Outcome, Stdio, Target};

use super::{path, run, status};

/// Run a command in a running container.
#[derive(Debug, clap::Args)]
pub(crate) struct Exec {
    /// Leave the command running in the background
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the command without ending it
    #[arg(long, value_name = "string", default_value = "")]
    detach_keys: String,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    env: Vec<String>,
    /// Read environment variables from a file
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give it every privilege of the host
    #[arg(long)]
    privileged: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// User name or ID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "string", default_value = "")]
    user: String,
    /// Working directory in the container
    #[arg(short, long, value_name = "string", default_value = "")]
    workdir: String,
    /// The container, then the command and its arguments.
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Verb for Exec {
    const USAGE: &'static str = "[OPTIONS] CONTAINER COMMAND [ARG...]";
    const ABOUT: &'static str = "Execute a command in a running container";

    async fn run(mut self, session: &Session) -> Result<(), Failure> {
        let container = self.words.remove(0);
        let detach_keys = run::detach_keys(session, &self.detach_keys)?;
        let stdin = self.interactive && !self.detach;
        if stdin && self.tty && !terminal::stdin_is_terminal() {
            return Err("the input device is not a TTY".into());
        }
        let size = self.tty.then(terminal::size).filter(|size| *size != [0, 0]);
        let keys = if self.detach_keys.is_empty() {
            session.config().document.detach_keys.clone()
        } else {
            self.detach_keys
        };
        let request = ExecCreateRequest {
            user: self.user,
            privileged: self.privileged,
            tty: self.tty,
            console_size: size,
            attach_stdin: stdin,
            attach_stderr: !self.detach,
            attach_stdout: !self.detach,
            detach: self.detach,
            detach_keys: keys,
            env: list(env::variables(&self.env_file, &self.env)?),
            working_dir: self.workdir,
            cmd: Some(self.words),
        };
        let client = session.client()?;
        let IdResponse { id } = client.fetch(Call::post(path(&container, "exec")).json(&request)?).await?;
        let start = ExecStartRequest { detach: self.detach, tty: self.tty, console_size: size };
        let call = Call::post(format!("/exec/{id}/start")).json(&start)?;
        if self.detach {
            return Ok(client.done(call).await?);
        }
        let hijacked = client.hijack(call).await?;
        let stdio = Stdio { stdin, stdout: true, stderr: true, tty: self.tty, detach: detach_keys };
        let mut attachment = Attachment::start(hijacked, stdio)?;
        if self.tty && terminal::stdin_is_terminal() {
            terminal::follow(client.clone(), Target::Exec(id.clone()));
        }
        if attachment.finished().await? == Outcome::Detached {
            return Err(Failure::new("exec attach failed: read escape sequence"));
        }
        let inspect: ExecInspect = client.fetch(Call::get(format!("/exec/{id}/json"))).await?;
        status::result(inspect.exit_code.unwrap_or(0))
    }
}
