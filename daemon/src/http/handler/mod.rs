//! The handlers: decode, one call, encode.

pub(super) mod container;
pub(super) mod exec;
pub(super) mod image;
pub(super) mod network;
pub(super) mod system;
pub(crate) mod volume;
