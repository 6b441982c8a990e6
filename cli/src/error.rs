//! How a command fails: its message, the exit code, and hints.

use crate::client::{ClientError, chain};
use crate::output::template::TemplateError;

/// Exit code when the output's reader went away, as a shell shows a death by SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// What a failed command leaves behind.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Printed on standard error unless empty.
    message: String,
    /// Exit code of the process.
    code: u8,
    /// What the user can do about it.
    hints: Vec<String>,
    /// Status of the daemon's answer, when that is the cause.
    status: Option<u16>,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1, hints: Vec::new(), status: None }
    }

    /// Ends with `code` and says nothing: the code is a container's.
    pub(crate) fn exit(code: i64) -> Self {
        // As the kernel cuts the codes of processes.
        let code = u8::try_from(code & 0xff).unwrap_or(1);
        Self { message: String::new(), code, hints: Vec::new(), status: None }
    }

    /// Standard output was closed by its reader.
    pub(crate) fn broken_pipe() -> Self {
        Self::exit(BROKEN_PIPE.into())
    }

    /// An io error about `subject`.
    pub(crate) fn io(subject: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new(format!("{subject}: {}", io_text(error)))
    }

    /// The same with another exit code.
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with a hint, when there is one.
    pub(crate) fn also(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// The same with another message.
    pub(crate) fn reword(mut self, word: impl FnOnce(&str) -> String) -> Self {
        self.message = word(&self.message);
        self
    }

    /// Several failures as one, or none.
    pub(crate) fn join(failures: Vec<Self>) -> Result<(), Self> {
        let mut failures = failures.into_iter();
        let Some(mut first) = failures.next() else { return Ok(()) };
        for other in failures {
            first.message.push('\n');
            first.message.push_str(&other.message);
        }
        Err(first)
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether the daemon knows no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == Some(404)
    }

    /// Exit code of the process.
    pub(crate) fn exit_code(&self) -> u8 {
        self.code
    }

    /// The lines for standard error.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        if !self.message.is_empty() {
            text.push_str(&self.message);
            text.push('\n');
        }
        for hint in &self.hints {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }
}

/// An io error in Go's words: no code, lower case.
pub(crate) fn io_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let status = error.status();
        let failure = match &error {
            ClientError::Connect { host, .. } => {
                let hint = match host.strip_prefix("unix://") {
                    Some(path) => format!(
                        "start the daemon with `dhowd --host unix://{path}`, or name another with -H or DOCKER_HOST"
                    ),
                    None => "name another daemon with -H or DOCKER_HOST".to_owned(),
                };
                Self::new(error.to_string()).hint(hint)
            }
            ClientError::Denied { .. } => {
                Self::new(chain(&error)).hint("run as root, or join the group that owns the socket")
            }
            ClientError::Reported { code: Some(code), .. } => {
                Self { message: error.to_string(), ..Self::exit(*code) }
            }
            _ => Self::new(chain(&error)),
        };
        Self { status, ..failure }
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        Self::new(format!("template parsing error: {error}"))
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}
