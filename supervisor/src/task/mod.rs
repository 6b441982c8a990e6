//! Tasks: the running side of containers, each behind a shim of its own.
//!
//! Owns: bundles, starting shims, calling them, noticing their death, and finding them again after a restart. Does not
//! own: any container process; a shim outlives us, and what we know of it can always be learned again.
//!
//! ```text
//! <state>/io.containerd.runtime.v2.task/<namespace>/<id>/     the bundle, made by create, gone after delete
//!     config.json  rootfs/  work/  log (FIFO)                  for the shim
//!     shim-binary-path  bootstrap.json                         how we find the shim again
//!     unfinished                                               until create has succeeded
//!     address  init.pid  exit*.json  runtime.json              the shim's own
//! <state>/io.containerd.runtime.v2.task/<namespace>/.<id>.*   a bundle that is being removed
//! ```

mod bundle;
mod cleanup;
mod create;
mod delete;
mod error;
mod exit;
mod forward;
mod kill;
mod launch;
mod list;
mod log;
mod manager;
mod recover;
mod runtime_name;
mod shim;
#[cfg(test)]
mod tests;

pub(crate) use bundle::{Bundle, found_below};
pub(crate) use cleanup::binary_of;
pub(crate) use create::NewTask;
pub(crate) use error::{LaunchError, TaskError, message};
pub(crate) use kill::kill_listener;
pub(crate) use launch::{Endpoint, Launcher};
pub(crate) use log::ShimLog;
pub(crate) use manager::Manager;
pub(crate) use shim::Task;
