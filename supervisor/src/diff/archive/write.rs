//! Writing an archive: ustar headers, with pax records for whatever does not fit them.
//!
//! The same entries always give the same bytes: nothing of the writing process enters the archive.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use tar::{EntryType, Header};

use super::pax;
use super::{BLOCK, Device, Entry, Kind};

/// The largest number that eleven octal digits hold.
const OCTAL_SIZE: u64 = 0o77_777_777_777;
/// The largest owner that seven octal digits hold.
const OCTAL_ID: u32 = 0o7_777_777;

/// Writes entries to `output`.
#[derive(Debug)]
pub(crate) struct Writer<W> {
    output: W,
}

impl<W: Write> Writer<W> {
    /// An archive that goes to `output`.
    pub(crate) fn new(output: W) -> Self {
        Self { output }
    }

    /// Appends `entry`, with the data of a file from `data`. Sparse files are written whole.
    ///
    /// # Errors
    /// When `data` is shorter than the entry says: the archive is then unusable.
    pub(crate) fn append(&mut self, entry: &Entry, data: impl Read) -> io::Result<()> {
        let mut header = Header::new_ustar();
        let size = if let Kind::File { size, .. } = entry.kind { size } else { 0 };
        let records = fill(&mut header, entry, size)?;
        if !records.is_empty() {
            self.extended(&records)?;
        }
        header.set_cksum();
        self.output.write_all(header.as_bytes())?;
        let copied = io::copy(&mut data.take(size), &mut self.output)?;
        if copied != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(size)
    }

    /// Ends the archive and returns what it was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        Ok(self.output)
    }

    fn extended(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        set_field(&mut header, 0..100, b"PaxHeaders.0/entry");
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.output.write_all(header.as_bytes())?;
        self.output.write_all(records)?;
        self.pad(records.len() as u64)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.output.write_all(&[0; BLOCK][..usize::try_from(padding).unwrap_or_default()])
    }
}

/// Puts `entry` into `header`; returns the pax records for what did not fit.
fn fill(header: &mut Header, entry: &Entry, size: u64) -> io::Result<Vec<u8>> {
    let mut records = Vec::new();
    let (kind, link, device) = match &entry.kind {
        Kind::File { .. } => (EntryType::Regular, None, None),
        Kind::Directory => (EntryType::Directory, None, None),
        Kind::Symlink(target) => (EntryType::Symlink, Some(target), None),
        Kind::Hardlink(target) => (EntryType::Link, Some(target), None),
        Kind::Character(device) => (EntryType::Char, None, Some(*device)),
        Kind::Block(device) => (EntryType::Block, None, Some(*device)),
        Kind::Fifo => (EntryType::Fifo, None, None),
    };
    let mut path = entry.path.clone();
    if kind == EntryType::Directory && !path.ends_with(b"/") {
        path.push(b'/');
    }
    header.set_entry_type(kind);
    if !fits(&path) {
        records.extend(pax::record(b"path", &path));
    }
    set_field(header, 0..100, &path);
    if let Some(link) = link {
        if !fits(link) {
            records.extend(pax::record(b"linkpath", link));
        }
        set_field(header, 157..257, link);
    }
    header.set_mode(entry.mode & 0o7777);
    for (key, id, set) in
        [(b"uid", entry.uid, Header::set_uid as fn(&mut Header, u64)), (b"gid", entry.gid, Header::set_gid)]
    {
        if id > OCTAL_ID {
            records.extend(pax::record(key, id.to_string().as_bytes()));
        }
        set(header, u64::from(if id > OCTAL_ID { 0 } else { id }));
    }
    if size > OCTAL_SIZE {
        records.extend(pax::record(b"size", size.to_string().as_bytes()));
    }
    header.set_size(if size > OCTAL_SIZE { 0 } else { size });
    let seconds = u64::try_from(entry.modified.seconds).ok().filter(|seconds| *seconds <= OCTAL_SIZE);
    if seconds.is_none() || entry.modified.nanoseconds != 0 {
        records.extend(pax::record(b"mtime", entry.modified.to_pax().as_bytes()));
    }
    header.set_mtime(seconds.unwrap_or_default());
    if let Some(Device { major, minor }) = device {
        header.set_device_major(major)?;
        header.set_device_minor(minor)?;
    }
    for (name, value) in &entry.attributes {
        records.extend(pax::record(&[b"SCHILY.xattr.", name.as_bytes()].concat(), value));
    }
    Ok(records)
}

/// Whether `name` stands in the 100 bytes of the old field, readable by everybody.
fn fits(name: &[u8]) -> bool {
    name.len() <= 100 && name.is_ascii()
}

fn set_field(header: &mut Header, field: std::ops::Range<usize>, value: &[u8]) {
    let target = &mut header.as_mut_bytes()[field];
    let count = value.len().min(target.len());
    target[..count].copy_from_slice(&value[..count]);
}
