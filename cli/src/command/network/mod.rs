//! `network …`

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod disconnect;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod prune;
pub(crate) mod rm;

use crate::client::query::escape_path;

/// The path of a network.
fn path(network: &str) -> String {
    format!("/networks/{}", escape_path(network))
}
