//! Transfers: one request that moves an image from a source to a destination.
//!
//! Owns: what sources and destinations there are, which pairs make sense, under which names an image is recorded, and
//! the streams that a client opens beside its request (progress, credentials, archives). Does not own the moving
//! itself ([`crate::image`]).
//!
//! ```text
//! registry      -> image store     pull, with unpacking
//! image store   -> registry        push
//! image store   -> image store     tag
//! import stream -> image store     load an archive
//! image store   -> export stream   save one
//! import stream -> export stream   echo
//! ```

mod bytes;
mod credentials;
mod end;
mod naming;
mod run;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use end::End;
pub(crate) use run::Transfers;
