//! The real neighbours, each started privately on a [`crate::host::Host`]: containerd, dockerd, podman.

mod containerd;
mod dockerd;
mod podman;

pub use containerd::{Containerd, ctr, ctr_command};
pub use dockerd::{Dockerd, docker28};
pub use podman::Podman;

use crate::binaries;

/// Dhow's binaries are found first, then the machine's.
fn search_path() -> String {
    format!("{}:{}", binaries::folder().display(), std::env::var("PATH").unwrap_or_default())
}
