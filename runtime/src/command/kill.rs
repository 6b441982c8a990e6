//! `kill`: a signal to a container's first process.

use std::str::FromStr;

use clap::Args;
use rustix::process::Signal;

use super::{Outcome, Verb, open};
use crate::container::{ContainerError, ContainerId};
use crate::options::Global;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// (obsoleted, do not use)
    #[arg(long, short, hide = true)]
    all: bool,
    /// the container to signal
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
    /// name (with or without SIG) or number
    #[arg(default_value = "SIGTERM", allow_hyphen_values = true)]
    signal: SignalNumber,
}

/// A signal, also one of the real-time ones, and 0 which only asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SignalNumber(i32);

#[derive(Debug, thiserror::Error)]
#[error("unknown signal {0:?}")]
struct UnknownSignal(String);

impl FromStr for SignalNumber {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        if let Ok(number) = text.parse::<i32>() {
            // The kernel knows which there are.
            return Ok(Self(number));
        }
        let name = text.to_uppercase();
        let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
        // Two names that the list below does not have.
        let name = match name.as_str() {
            "SIGIOT" => "SIGABRT",
            "SIGPOLL" => "SIGIO",
            "SIGCLD" => "SIGCHLD",
            other => other,
        };
        let signal = nix::sys::signal::Signal::from_str(name).map_err(|_| UnknownSignal(text.to_owned()))?;
        Ok(Self(signal as i32))
    }
}

impl Verb for KillArgs {
    const NAME: &str = "kill";
    const HELP: &str = "kill sends the specified signal (default: SIGTERM) to the container's init process";

    fn run(self, global: &Global) -> Outcome {
        let container = open(global, &self.id)?;
        let done = match Signal::from_named_raw(self.signal.0) {
            Some(signal) => container.kill(&container.spec()?, signal),
            None => container.signal_number(self.signal.0),
        };
        match done {
            Err(ContainerError::NotRunning) if self.all => Ok(0),
            other => Ok(other.map(|()| 0)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [("TERM", 15), ("sigkill", 9), ("9", 9), ("0", 0), ("34", 34), ("SIGIOT", 6)] {
            assert_eq!(text.parse::<SignalNumber>().ok(), Some(SignalNumber(number)), "{text}");
        }
        for text in ["", "MADEUP", "SIGTERMX"] {
            assert!(text.parse::<SignalNumber>().is_err(), "{text}");
        }
    }
}
