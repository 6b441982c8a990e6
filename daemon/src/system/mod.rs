//! What the daemon tells about itself and its host.

pub(crate) mod host;
mod identity;
mod info;
mod version;

pub(crate) use identity::identity;
pub(crate) use info::info;
pub(crate) use version::version;
