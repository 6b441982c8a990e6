//! The tar archive of a layer: entries read with limits, and entries written in the pax format.
//!
//! Owns the format alone: headers, GNU long names, pax records, the three encodings of sparse files. The bytes of an
//! archive come from strangers, so every length is checked before it is believed, and nothing here touches a file
//! system. Block headers are decoded by the `tar` crate; the loop around them is ours because that crate reads long
//! names of any size into memory and splits pax records at newlines, which binary attributes contain.

mod pax;
mod read;
mod sparse;
#[cfg(test)]
mod tests;
mod write;

use std::ffi::OsString;

pub(crate) use read::{ArchiveError, Reader};
pub(crate) use sparse::Segment;
pub(crate) use write::Writer;

/// The size of a block; headers take one, data is padded to a multiple.
const BLOCK: usize = 512;

/// What an entry makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file of `size` bytes; `segments` is where data lies when it has holes.
    File {
        /// The length of the file, holes included.
        size: u64,
        /// Pieces of data in a sparse file, by offset; `None` when the data is the whole file.
        segments: Option<Vec<Segment>>,
    },
    /// A directory.
    Directory,
    /// A symbolic link and what it says.
    Symlink(Vec<u8>),
    /// Another name for an earlier entry.
    Hardlink(Vec<u8>),
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Fifo,
}

/// The numbers of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    /// Major number.
    pub(crate) major: u32,
    /// Minor number.
    pub(crate) minor: u32,
}

/// A point in time as archives carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Timestamp {
    /// Seconds since the epoch.
    pub(crate) seconds: i64,
    /// Nanoseconds after them.
    pub(crate) nanoseconds: u32,
}

/// One entry: everything but the data of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name as it stands in the archive.
    pub(crate) path: Vec<u8>,
    /// What it makes.
    pub(crate) kind: Kind,
    /// Permission bits, with set-id and sticky.
    pub(crate) mode: u32,
    /// Owner.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Last modification.
    pub(crate) modified: Timestamp,
    /// Extended attributes, by full name.
    pub(crate) attributes: Vec<(OsString, Vec<u8>)>,
}
