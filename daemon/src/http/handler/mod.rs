//! The handlers: decode, one call, encode.

pub(crate) mod system;
