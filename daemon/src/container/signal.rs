//! Signals as clients name them: `KILL`, `SIGKILL`, `9`, `RTMIN+3`.

use dhow_proto::error::Kind;

use crate::error::Failure;

/// A signal of this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(u32);

/// A name that is no signal's.
#[derive(Debug, thiserror::Error)]
#[error("invalid signal: {0}")]
pub(crate) struct SignalError(String);

impl Failure for SignalError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

const REAL_TIME_FIRST: u32 = 34;
const LAST: u32 = 64;

impl Signal {
    pub(crate) const KILL: Self = Self(9);
    pub(crate) const TERM: Self = Self(15);

    /// Its number.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// Reads a name or a number.
    pub(crate) fn parse(text: &str) -> Result<Self, SignalError> {
        let unknown = || SignalError(text.to_owned());
        if let Ok(number) = text.parse() {
            return if (1..=LAST).contains(&number) { Ok(Self(number)) } else { Err(unknown()) };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(offset) = real_time(name) {
            return Ok(Self(offset));
        }
        let signal: nix::sys::signal::Signal = format!("SIG{name}").parse().map_err(|_| unknown())?;
        u32::try_from(signal as i32).map(Self).map_err(|_| unknown())
    }

    /// The signal that asks a container to end: its image's, or `SIGTERM`.
    pub(crate) fn of_stop(name: &str) -> Self {
        Self::parse(name).unwrap_or(Self::TERM)
    }
}

/// `RTMIN`, `RTMIN+n`, `RTMAX`, `RTMAX-n`.
fn real_time(name: &str) -> Option<u32> {
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        REAL_TIME_FIRST + if rest.is_empty() { 0 } else { rest.strip_prefix('+')?.parse().ok()? }
    } else {
        let rest = name.strip_prefix("RTMAX")?;
        LAST.checked_sub(if rest.is_empty() { 0 } else { rest.strip_prefix('-')?.parse().ok()? })?
    };
    (REAL_TIME_FIRST..=LAST).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_signals() {
        let number = |text| Signal::parse(text).map(Signal::number).ok();
        assert_eq!(number("KILL"), Some(9));
        assert_eq!(number("SIGKILL"), Some(9));
        assert_eq!(number("sigterm"), Some(15));
        assert_eq!(number("9"), Some(9));
        assert_eq!(number("RTMIN+3"), Some(37));
        assert_eq!(number("SIGRTMAX-1"), Some(63));
        assert_eq!((number("0"), number("65"), number("NOPE"), number("RTMIN+99")), (None, None, None, None));
    }
}
