//! Raw mode of the terminal at standard input, undone however the process ends.

use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// What the terminal was before; taken out by whoever restores it first.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal is raw while this lives.
#[derive(Debug)]
pub(super) struct RawMode;

impl RawMode {
    /// Makes the terminal raw.
    pub(super) fn enter() -> std::io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back as it was; does nothing when it is not raw.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that is gone needs no settings.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before).ok();
    }
}

/// Runs `work` while what is typed is not shown.
pub(crate) fn without_echo<T>(work: impl FnOnce() -> T) -> Result<T, crate::error::Failure> {
    let failed = |error: rustix::io::Errno| crate::error::Failure::io("hide the password", &error.into());
    let before = tcgetattr(rustix::stdio::stdin()).map_err(failed)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(rustix::termios::LocalModes::ECHO);
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &quiet).map_err(failed)?;
    let result = work();
    restore();
    Ok(result)
}
