//! Containers.

#[allow(dead_code)]
pub(crate) mod spec;
