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
use crate::error::Failure;
use crate::option::reference::Reference;
use crate::output::put_line;

/// The path of `verb` of an image.
fn path(image: &str, verb: &str) -> String {
    format!("/images/{}/{verb}", escape_path(image))
}

/// What a pull or push of `name` is about. A tag that is not said is, unless `quiet`.
fn transferred(name: &str, all_tags: bool, quiet: bool) -> Result<Reference, Failure> {
    let reference = Reference::parse(name)?;
    match (all_tags, reference.is_name_only()) {
        (true, false) => return Err("tag can't be used with --all-tags/-a".into()),
        (false, true) if !quiet => put_line("Using default tag: latest")?,
        _ => {}
    }
    Ok(reference)
}
