//! `checkpoint …`: frozen states of containers.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod rm;

use crate::client::query::escape_path;

/// The path of a container's checkpoints.
fn path(container: &str) -> String {
    format!("/containers/{}/checkpoints", escape_path(container))
}
