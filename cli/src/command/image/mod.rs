//! `image …`, and the short names of its commands.

pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rm;
pub(crate) mod save;
pub(crate) mod tag;

use crate::client::query::escape_path;

/// The path of `verb` of an image.
fn path(image: &str, verb: &str) -> String {
    format!("/images/{}/{verb}", escape_path(image))
}
