//! `volume …`

pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod prune;
pub(crate) mod rm;
pub(crate) mod update;

use crate::client::query::escape_path;

/// The path of a volume.
fn path(volume: &str) -> String {
    format!("/volumes/{}", escape_path(volume))
}
