//! `builder …`, and `build`.

pub(crate) mod build;
pub(crate) mod prune;

mod ignore;
