//! Signals to this process, passed on to the container.

use std::rc::Rc;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Call, Client, Query};

/// Signals that are about this process itself: its children, pipes, sockets and window; and those
/// that cannot or must not be caught.
const OWN: [Signal; 10] = [
    Signal::SIGCHLD,
    Signal::SIGPIPE,
    Signal::SIGURG,
    Signal::SIGWINCH,
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGSEGV,
    Signal::SIGILL,
    Signal::SIGFPE,
    Signal::SIGBUS,
];

/// First and last real-time signal that programs may use.
const REALTIME: std::ops::RangeInclusive<i32> = 34..=64;

/// Passes every signal on to `container` until the process ends.
pub(crate) fn forward_signals(client: &Rc<Client>, container: &str) {
    let named = Signal::iterator().filter(|signal| !OWN.contains(signal));
    let named = named.map(|signal| (signal as i32, signal.as_str().trim_start_matches("SIG").to_owned()));
    for (number, name) in named.chain(REALTIME.map(|number| (number, number.to_string()))) {
        let Ok(mut signals) = signal(SignalKind::from_raw(number)) else { continue };
        let client = Rc::clone(client);
        let path = format!("/containers/{container}/kill");
        drop(tokio::task::spawn_local(async move {
            while signals.recv().await.is_some() {
                // A container that does not run has nobody to tell.
                drop(client.done(Call::post(&path).query(Query::new().set("signal", &name))).await);
            }
        }));
    }
}

/// Restores the terminal and exits when a signal asks this process to end.
pub(crate) fn abandon_on_signals() {
    for kind in [SignalKind::hangup(), SignalKind::terminate(), SignalKind::quit(), SignalKind::interrupt()] {
        let Ok(mut signals) = signal(kind) else { continue };
        drop(tokio::task::spawn_local(async move {
            if signals.recv().await.is_some() {
                super::restore();
                std::process::exit(128 + kind.as_raw_value());
            }
        }));
    }
}
