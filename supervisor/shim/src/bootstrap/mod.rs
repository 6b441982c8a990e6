//! How a supervisor starts a shim and cleans up after one: `start`, `delete` and `-info`.
//!
//! ```text
//! supervisor ── start, parameters on stdin ──> shim start: binds the socket, forks …
//!            <── address on stdout, exit ────               └──> shim: serves it until Shutdown
//! ```
//! A container that names a group whose shim lives gets that shim's address, and no process of its own.
//! Parameters come as containerd 2.3 sends them (`BootstrapParams`) or as older ones do (flags, environment, options
//! alone on stdin). The answer is then a `BootstrapResult`, JSON for those that understand version 3, or an address.

mod delete;
mod group;
mod info;
mod placement;
mod start;

pub(crate) use delete::delete;
pub(crate) use info::info;
pub(crate) use start::start;
