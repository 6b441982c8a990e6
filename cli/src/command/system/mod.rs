//! `system …`, and what is about no single kind of object.

pub(crate) mod df;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod prune;
pub(crate) mod version;

/// The commit this program was built from, when the build says so.
pub(crate) fn build() -> &'static str {
    option_env!("DHOW_COMMIT").unwrap_or("unknown")
}
