//! The real neighbours, each started privately on a [`crate::host::Host`]: containerd, dockerd, podman.

mod containerd;
mod dockerd;
mod podman;
mod release;

pub use containerd::{Containerd, ctr, ctr_command};
pub use dockerd::Dockerd;
pub use podman::Podman;
pub use release::Release;

use crate::binaries;

/// Dhow's binaries are found first, then the machine's.
fn search_path() -> String {
    format!("{}:{}", binaries::folder().display(), std::env::var("PATH").unwrap_or_default())
}
