//! Reading an archive: one header at a time, the data between them as a stream.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use tar::{EntryType, Header};

use super::pax::{self, Records};
use super::{BLOCK, Device, Entry, Kind, Timestamp, sparse};

/// The longest name or link target (PATH_MAX).
const NAME_LIMIT: u64 = 4096;
/// The longest extended header; Go's reader, which every other engine uses, has the same limit.
const PAX_LIMIT: u64 = 1 << 20;
/// The most entries in one archive.
const ENTRY_LIMIT: u64 = 10_000_000;
/// The keys of pax records that hold an extended attribute.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The bytes stopped coming.
    #[error("read archive at byte {offset}")]
    Read {
        /// Where in the archive.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A header does not add up.
    #[error("header at byte {offset} is damaged: {what}")]
    Header {
        /// Where in the archive.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A number in the archive is larger than anything sound.
    #[error("{what} exceeds the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The map of a sparse file is wrong.
    #[error("the map of a sparse file is damaged")]
    Sparse,
    /// An entry of a kind that no layer holds.
    #[error("entry {path} has the unsupported type {kind:?}")]
    Kind {
        /// Its name.
        path: String,
        /// The type byte.
        kind: char,
    },
}

/// Reads entries from a stream of archive bytes.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: R,
    offset: u64,
    entries: u64,
    /// Data of the current entry that was not read yet, and the padding after it.
    remaining: u64,
    padding: u64,
    global: Records,
}

impl<R: Read> Reader<R> {
    /// Reads the archive in `input`.
    pub(crate) fn new(input: R) -> Self {
        Self { input, offset: 0, entries: 0, remaining: 0, padding: 0, global: Records::new() }
    }

    /// What the archive is read from.
    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// The next entry; what was not read of the last one's data is skipped. `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extra = Extra { records: self.global.clone(), ..Extra::default() };
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.entries += 1;
            if self.entries > ENTRY_LIMIT {
                return Err(ArchiveError::Limit { what: "the number of entries", limit: ENTRY_LIMIT });
            }
            self.begin_data(self.field(&header.as_old().size, "size")?)?;
            match header.entry_type() {
                EntryType::GNULongName => extra.path = Some(self.name()?),
                EntryType::GNULongLink => extra.link = Some(self.name()?),
                EntryType::XHeader => {
                    let data = self.collect("an extended header", PAX_LIMIT)?;
                    pax::parse(&data, &mut extra.records, &mut extra.sparse)
                        .ok_or_else(|| self.damaged("extended header"))?;
                }
                EntryType::XGlobalHeader => {
                    let data = self.collect("a global header", PAX_LIMIT)?;
                    pax::parse(&data, &mut self.global, &mut Vec::new())
                        .ok_or_else(|| self.damaged("global header"))?;
                    extra.records.append(&mut self.global.clone());
                }
                _ => return self.entry(&header, extra).map(Some),
            }
        }
    }

    fn entry(&mut self, header: &Header, mut extra: Extra) -> Result<Entry, ArchiveError> {
        if let Some(size) = extra.number(b"size") {
            self.begin_data(size)?;
        }
        if header_only(header.entry_type()) {
            // Some writers note the size of the file that a link leads to; no data follows.
            self.begin_data(0)?;
        }
        let path = extra.path(header)?;
        let link = extra.link(header)?;
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => self.file(&extra)?,
            EntryType::GNUSparse => {
                let gnu = header.as_gnu().ok_or_else(|| self.damaged("sparse header"))?;
                let size = gnu.real_size().map_err(|_| self.damaged("real size"))?;
                let numbers = self.old_gnu_sparse(gnu)?;
                Kind::File { size, segments: Some(sparse::segments(&numbers, size)?) }
            }
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link),
            EntryType::Link => Kind::Hardlink(link),
            EntryType::Char => Kind::Character(self.device(header)?),
            EntryType::Block => Kind::Block(self.device(header)?),
            EntryType::Fifo => Kind::Fifo,
            other => {
                let path = String::from_utf8_lossy(&path).into_owned();
                return Err(ArchiveError::Kind { path, kind: char::from(other.as_byte()) });
            }
        };
        if let Kind::File { segments: Some(segments), .. } = &kind
            && segments.iter().map(|segment| segment.length).sum::<u64>() > self.remaining
        {
            return Err(ArchiveError::Sparse);
        }
        let old = header.as_old();
        let identity = |key, field, what| {
            let number = extra.number(key).map_or_else(|| self.field(field, what), Ok)?;
            u32::try_from(number).map_err(|_| self.damaged(what))
        };
        let seconds = numeric(&old.mtime).and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or_default();
        Ok(Entry {
            mode: u32::try_from(self.field(&old.mode, "mode")? & 0o7777).unwrap_or_default(),
            uid: identity(b"uid", &old.uid, "uid")?,
            gid: identity(b"gid", &old.gid, "gid")?,
            modified: extra.modified().unwrap_or(Timestamp { seconds, nanoseconds: 0 }),
            attributes: extra.attributes(),
            path,
            kind,
        })
    }

    /// A regular file, which pax records may turn into a sparse one.
    fn file(&mut self, extra: &Extra) -> Result<Kind, ArchiveError> {
        let whole = self.remaining;
        let real = extra.number(b"GNU.sparse.realsize").or_else(|| extra.number(b"GNU.sparse.size"));
        let numbers = if extra.number(b"GNU.sparse.major") == Some(1) {
            self.leading_sparse()?
        } else if let Some(map) = extra.records.get(b"GNU.sparse.map".as_slice()) {
            sparse::list(map)?
        } else if !extra.sparse.is_empty() {
            extra.sparse.clone()
        } else {
            return Ok(Kind::File { size: whole, segments: None });
        };
        let size = real.ok_or(ArchiveError::Sparse)?;
        Ok(Kind::File { size, segments: Some(sparse::segments(&numbers, size)?) })
    }

    fn device(&self, header: &Header) -> Result<Device, ArchiveError> {
        // ustar and GNU have the two fields at the same place; older headers have none.
        let fields = header.as_bytes();
        let number = |at: usize| {
            let number = self.field(&fields[at..at + 8], "device number")?;
            u32::try_from(number).map_err(|_| self.damaged("device number"))
        };
        Ok(Device { major: number(329)?, minor: number(337)? })
    }

    /// The next header that is not empty; `None` at the end marker or the end of the bytes.
    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut header = Header::new_old();
        let mut zeros = 0;
        loop {
            if !self.try_read_block(header.as_mut_bytes())? {
                return Ok(None);
            }
            if header.as_bytes().iter().all(|byte| *byte == 0) {
                zeros += 1;
                if zeros == 2 {
                    return Ok(None);
                }
                continue;
            }
            let sum = header.cksum().map_err(|_| self.damaged("checksum"))?;
            return if sum == checksum(header.as_bytes()) {
                Ok(Some(header))
            } else {
                Err(self.damaged("checksum"))
            };
        }
    }

    /// The data of the current entry, at most `limit` bytes.
    fn collect(&mut self, what: &'static str, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.remaining > limit {
            return Err(ArchiveError::Limit { what, limit });
        }
        let mut data = Vec::new();
        let offset = self.offset;
        self.read_to_end(&mut data).map_err(|source| ArchiveError::Read { offset, source })?;
        Ok(data)
    }

    fn name(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut name = self.collect("a long name", NAME_LIMIT + 1)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn begin_data(&mut self, size: u64) -> Result<(), ArchiveError> {
        self.remaining = size;
        let padded = size.checked_next_multiple_of(BLOCK as u64).ok_or_else(|| self.damaged("size"))?;
        self.padding = padded - size;
        Ok(())
    }

    fn skip_data(&mut self) -> Result<(), ArchiveError> {
        let offset = self.offset;
        let rest = self.remaining.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())
            .and_then(
                |count| if count == rest { Ok(count) } else { Err(io::ErrorKind::UnexpectedEof.into()) },
            )
            .map_err(|source| ArchiveError::Read { offset, source })?;
        self.offset += skipped;
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// One block of the current entry's data.
    pub(super) fn read_data_block(&mut self, block: &mut [u8; BLOCK]) -> Result<(), ArchiveError> {
        self.remaining = self.remaining.checked_sub(BLOCK as u64).ok_or(ArchiveError::Sparse)?;
        self.read_block(block)
    }

    pub(super) fn read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<(), ArchiveError> {
        if self.try_read_block(block)? { Ok(()) } else { Err(self.damaged("cut off")) }
    }

    /// Fills `block`; false when the input ends exactly before it.
    fn try_read_block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, ArchiveError> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(self.damaged("cut off")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ArchiveError::Read { offset: self.offset, source }),
            }
        }
        self.offset += BLOCK as u64;
        Ok(true)
    }

    fn field(&self, field: &[u8], what: &'static str) -> Result<u64, ArchiveError> {
        numeric(field).ok_or_else(|| self.damaged(what))
    }

    fn damaged(&self, what: &'static str) -> ArchiveError {
        ArchiveError::Header { offset: self.offset.saturating_sub(BLOCK as u64), what }
    }
}

/// The data of the current entry.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.input.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.remaining -= count as u64;
        self.offset += count as u64;
        Ok(count)
    }
}

/// A number in a header: octal digits between blanks, or big-endian bytes marked by the highest bit. Blank is zero.
fn numeric(field: &[u8]) -> Option<u64> {
    if let [first @ 0x80..=0xbf, rest @ ..] = field {
        return rest.iter().try_fold(u64::from(first & 0x3f), |number, byte| {
            number.checked_mul(256)?.checked_add(u64::from(*byte))
        });
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// The sum of a header's bytes, its own field counted as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let field = 148..156;
    block.iter().enumerate().map(|(at, byte)| u32::from(if field.contains(&at) { b' ' } else { *byte })).sum()
}

/// Whether entries of this kind never have data, whatever their size field says.
fn header_only(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// What the headers before an entry say about it.
#[derive(Default)]
struct Extra {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Records,
    sparse: Vec<u64>,
}

impl Extra {
    fn number(&self, key: &[u8]) -> Option<u64> {
        self.records.get(key).and_then(|value| pax::number(value))
    }

    fn modified(&self) -> Option<Timestamp> {
        self.records.get(b"mtime".as_slice()).and_then(|value| pax::timestamp(value))
    }

    fn path(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let name = self.records.remove(b"GNU.sparse.name".as_slice());
        let name = name.or_else(|| self.records.remove(b"path".as_slice())).or_else(|| self.path.take());
        checked_name(name.unwrap_or_else(|| header.path_bytes().into_owned()))
    }

    fn link(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let name = self.records.remove(b"linkpath".as_slice()).or_else(|| self.link.take());
        checked_name(name.or_else(|| header.link_name_bytes().map(Into::into)).unwrap_or_default())
    }

    fn attributes(&self) -> Vec<(OsString, Vec<u8>)> {
        let named = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            let name = key.strip_prefix(ATTRIBUTE).filter(|name| !name.is_empty() && !name.contains(&0))?;
            Some((OsString::from_vec(name.to_vec()), value.clone()))
        };
        self.records.iter().filter_map(named).collect()
    }
}

fn checked_name(name: Vec<u8>) -> Result<Vec<u8>, ArchiveError> {
    if name.len() as u64 > NAME_LIMIT {
        return Err(ArchiveError::Limit { what: "the length of a name", limit: NAME_LIMIT });
    }
    Ok(name)
}
