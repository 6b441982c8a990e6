//! Sandboxes: groups of containers that share a shim, as pods do.
//!
//! Owns: their records ([`Store`]), and the shims behind them ([`Controller`]), which speak
//! `containerd.runtime.sandbox.v1`. Does not own: the containers of a sandbox; a task whose container names a sandbox
//! is created in that sandbox's shim, and is a task like every other.
//!
//! ```text
//! <state>/io.containerd.sandbox.controller.v1.shim/<namespace>/<id>/   the bundle, from Create to Shutdown
//! ```
//! A record and its shim come and go apart, in the hands of the client; after a restart each shim is found again.

mod controller;
mod error;
mod instance;
mod record;
mod store;
mod watch;

pub(crate) use controller::{Controller, NewInstance};
pub(crate) use record::{SANDBOXES, Sandbox};
pub(crate) use store::Store;

/// The one sandboxer that there is: it runs sandboxes in shims.
pub(crate) const SHIM: &str = "shim";
