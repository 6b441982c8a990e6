//! Namespaces made ahead: a container takes one that is ready instead of waiting for the kernel.
//!
//! Each is used once and never given back. Those meant for a bridge have their veth pair already, because making
//! links is the slow part. Nothing here is pinned: what was not taken dies with the daemon.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::link;
use super::namespace::{Namespace, NamespaceError};
use super::netlink::{Family, Socket};

/// How many of each sort are kept ready.
const BARE: usize = 2;
const WIRED: usize = 4;
/// Filling waits until no container took one for this long: a start should not compete with it for a CPU.
const QUIET: Duration = Duration::from_millis(30);

/// A namespace with a veth pair: one end inside, one out here, both down.
#[derive(Debug)]
pub(super) struct Wired {
    /// The namespace.
    pub(super) namespace: Namespace,
    /// The end out here.
    pub(super) host: Veth,
    /// Index of the end inside.
    pub(super) inside: u32,
}

/// The end of a veth pair in the host's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Veth {
    /// Its name.
    pub(super) name: String,
    /// Its index.
    pub(super) index: u32,
}

#[derive(Debug, Default)]
struct Ready {
    bare: VecDeque<Namespace>,
    wired: VecDeque<Wired>,
    wants_wired: bool,
    taken: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    ready: Mutex<Ready>,
    changed: Condvar,
}

/// The pool; dropping it ends its thread.
#[derive(Debug)]
pub(super) struct Pool(Arc<Shared>);

impl Pool {
    /// Starts the thread that keeps the pool filled.
    pub(super) fn start() -> Result<Self, NamespaceError> {
        let shared = Arc::new(Shared::default());
        let filler = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("netns-pool".to_owned()).spawn(move || filler.fill());
        thread.map_err(|error| NamespaceError::Kernel("start a thread for", error))?;
        Ok(Self(shared))
    }

    /// A namespace with only its loopback.
    pub(super) fn bare(&self) -> Result<Namespace, NamespaceError> {
        let ready = {
            let mut ready = self.0.lock();
            ready.taken += 1;
            ready.bare.pop_front()
        };
        self.0.changed.notify_all();
        ready.map_or_else(Namespace::create, Ok)
    }

    /// A namespace with a veth pair.
    pub(super) fn wired(&self) -> Result<Wired, NamespaceError> {
        let ready = {
            let mut ready = self.0.lock();
            ready.taken += 1;
            ready.wants_wired = true;
            ready.wired.pop_front()
        };
        self.0.changed.notify_all();
        ready.map_or_else(|| wire(Namespace::create()?), Ok)
    }
}

impl Pool {
    /// Ends the filling and gives away the names of the links that are left: the kernel would remove them with their
    /// namespaces, but some time after the daemon's end.
    pub(super) fn close(&self) -> Vec<String> {
        let mut ready = self.0.lock();
        ready.closed = true;
        self.0.changed.notify_all();
        ready.bare.clear();
        ready.wired.drain(..).map(|wired| wired.host.name).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills until closed. A failure ends the filling for a while; takers then make their own and see the error.
    fn fill(&self) {
        while let Some(wired) = self.next_missing() {
            let made = Namespace::create().and_then(|namespace| {
                if !wired {
                    self.lock().bare.push_back(namespace);
                    return Ok(());
                }
                let entry = wire(namespace)?;
                let mut ready = self.lock();
                if ready.closed {
                    drop(Socket::open(Family::Route)?.send(&[link::delete(entry.host.index)]));
                } else {
                    ready.wired.push_back(entry);
                }
                Ok(())
            });
            if let Err(error) = made {
                tracing::warn!(
                    error = dhow_proto::error::chain(&error),
                    "cannot make a network namespace ahead"
                );
                std::thread::sleep(Duration::from_secs(5));
            }
        }
    }

    /// Waits until something is missing and nobody is in a hurry: whether it should be wired. `None` when closed.
    fn next_missing(&self) -> Option<bool> {
        let mut ready = self.lock();
        loop {
            if ready.closed {
                return None;
            }
            let missing = match (ready.wants_wired && ready.wired.len() < WIRED, ready.bare.len() < BARE) {
                (true, _) => Some(true),
                (false, true) => Some(false),
                (false, false) => None,
            };
            let Some(wired) = missing else {
                ready = self.changed.wait(ready).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let before = ready.taken;
            let waited = self.changed.wait_timeout(ready, QUIET).unwrap_or_else(PoisonError::into_inner);
            ready = waited.0;
            if ready.taken == before && waited.1.timed_out() {
                return Some(wired);
            }
        }
    }
}

/// Puts a veth pair between `namespace` and the calling thread's.
pub(super) fn wire(namespace: Namespace) -> Result<Wired, NamespaceError> {
    const INSIDE: &str = "eth0";
    let here = Socket::open(Family::Route)?;
    let name = veth_name();
    here.send(&[link::add_veth(&name, INSIDE, namespace.as_fd())])?;
    let missing = || NamespaceError::Kernel("find the new link of", std::io::ErrorKind::NotFound.into());
    let index = link::find(&here, &name)?.ok_or_else(missing)?.index;
    let inside = link::find(&namespace.route, INSIDE)?.ok_or_else(missing)?.index;
    Ok(Wired { namespace, host: Veth { name, index }, inside })
}

/// A fresh name, of the form that Docker gives its own.
pub(super) fn veth_name() -> String {
    format!("veth{}", &super::random_hex(4)[..7])
}
