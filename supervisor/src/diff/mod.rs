//! Layers as archives: applied to a tree, and made from the difference of two.
//!
//! Owns the way from compressed bytes to files on disk and back, and everything that may go wrong with a hostile
//! archive in between. Does not own where layers come from ([`crate::registry`], [`crate::content`]) or which
//! snapshot a tree becomes.

mod apply;
mod archive;
mod compare;
mod compression;
mod differ;
mod inherit;
mod mounted;
mod owner;
mod path;
#[cfg(test)]
mod tests;
mod tree;
mod unpack;
mod whiteout;

pub(crate) use apply::{Applied, ApplyError};
pub(crate) use archive::{
    ArchiveError, Entry, Kind as EntryKind, Reader, Timestamp, Writer as ArchiveWriter,
};
pub(crate) use compression::{Compression, Encoder, decode, is_layer};
pub(crate) use differ::{Differ, DifferError, DifferenceOptions};
pub(crate) use inherit::{inherit, inherit_marked};
pub(crate) use path::EntryPath;
pub(crate) use unpack::{Unpacked, unpack};
pub(crate) use whiteout::Target;
