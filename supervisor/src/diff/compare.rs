//! `compare`: the difference between two trees as a layer's archive.
//!
//! Two ways to look at the newer tree. The upper directory of an overlay is the difference already: its files are
//! written as they are, its markers as whiteouts. Any other pair is walked side by side, in order of names; a file
//! counts as changed when type, owner, mode, size, time, device, link or attributes differ. Directories above a
//! change are written too, so that an unpacker knows their metadata.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use dhow_proto::error::Kind as Failure;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::archive::{Device, Entry, Kind, Timestamp, Writer};
use super::inherit::modified;
use super::owner::Owners;
use super::path::EntryPath;
use super::tree::{self, Occupant, Tree};
use super::whiteout::{Marker, OPAQUE};
use crate::fault::Fault;

/// Why two trees could not be compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompareError {
    /// A tree cannot be read.
    #[error("read {path}")]
    Tree {
        /// Where in it.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The archive cannot be written.
    #[error("write {path} to the archive")]
    Archive {
        /// Which entry.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Fault for CompareError {
    fn kind(&self) -> Failure {
        Failure::Internal
    }
}

/// The newer tree.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Right<'a> {
    /// The upper directory of an overlay.
    Upper(&'a Path),
    /// A tree of its own, to be compared with `left`; with none every file is new.
    Whole {
        /// The newer tree.
        right: &'a Path,
        /// The older tree.
        left: Option<&'a Path>,
    },
}

/// Writes what `right` has changed to `output`, as an uncompressed archive, and returns `output`. Files are given the
/// owners that they have inside, by `owners`; times later than `epoch`, in seconds, are set back to it.
pub(crate) fn compare<W: Write>(
    right: Right<'_>,
    owners: Owners,
    epoch: Option<i64>,
    output: W,
) -> Result<W, CompareError> {
    let open = |path: &Path| {
        Tree::open(path).map_err(|source| CompareError::Tree { path: path.display().to_string(), source })
    };
    let mut layer = Layer::new(output, owners, epoch);
    let root = EntryPath::default();
    match right {
        Right::Upper(path) => {
            let tree = open(path)?;
            upper(&mut layer, tree.root(), &root)?;
        }
        Right::Whole { right, left: None } => {
            let tree = open(right)?;
            everything(&mut layer, tree.root(), &root)?;
        }
        Right::Whole { right, left: Some(left) } => {
            let (left, right) = (open(left)?, open(right)?);
            difference(&mut layer, left.root(), right.root(), &root)?;
        }
    }
    layer.finish()
}

/// The upper directory of an overlay, below `directory`.
fn upper<W: Write>(
    layer: &mut Layer<W>,
    directory: BorrowedFd<'_>,
    path: &EntryPath,
) -> Result<(), CompareError> {
    for (name, stat) in layer.entries(directory, path)? {
        let child = path.join(&name);
        match tree::occupant(directory, &name).map_err(unreadable(&child))? {
            None => {}
            Some(Occupant::Whiteout) => layer.whiteout(path, &name)?,
            Some(Occupant::Directory) => {
                layer.file(directory, &child, &name, &stat)?;
                let inner = tree::open_child(directory, &name).map_err(unreadable(&child))?;
                if is_opaque(inner.as_fd()) {
                    layer.marker(&child.join(Marker::OPAQUE_NAME))?;
                }
                upper(layer, inner.as_fd(), &child)?;
            }
            Some(Occupant::Other { .. }) => layer.file(directory, &child, &name, &stat)?,
        }
    }
    Ok(())
}

fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 8];
    matches!(rustix::fs::fgetxattr(directory, OPAQUE, value.as_mut_slice()), Ok(1)) && value[0] == b'y'
}

/// A tree that is all new, below `directory`.
fn everything<W: Write>(
    layer: &mut Layer<W>,
    directory: BorrowedFd<'_>,
    path: &EntryPath,
) -> Result<(), CompareError> {
    for (name, stat) in layer.entries(directory, path)? {
        let child = path.join(&name);
        layer.file(directory, &child, &name, &stat)?;
        if is_directory(&stat) {
            let inner = tree::open_child(directory, &name).map_err(unreadable(&child))?;
            everything(layer, inner.as_fd(), &child)?;
        }
    }
    Ok(())
}

/// Two versions of a directory.
fn difference<W: Write>(
    layer: &mut Layer<W>,
    left: BorrowedFd<'_>,
    right: BorrowedFd<'_>,
    path: &EntryPath,
) -> Result<(), CompareError> {
    let (old, new) = (entries(left, path)?, layer.entries(right, path)?);
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        layer.whiteout(path, name)?;
    }
    for (name, stat) in &new {
        let child = path.join(name);
        let before = old.get(name);
        let same = match before {
            Some(before) => same(left, before, right, stat, name).map_err(unreadable(&child))?,
            None => false,
        };
        if !is_directory(stat) {
            if !same {
                layer.file(right, &child, name, stat)?;
            }
            continue;
        }
        let inner = tree::open_child(right, name).map_err(unreadable(&child))?;
        let depth = layer.enter(right, &child, name, stat, !same)?;
        if before.is_some_and(is_directory) {
            let outer = tree::open_child(left, name).map_err(unreadable(&child))?;
            difference(layer, outer.as_fd(), inner.as_fd(), &child)?;
        } else {
            everything(layer, inner.as_fd(), &child)?;
        }
        layer.leave(depth);
    }
    Ok(())
}

/// Whether nothing about `name` changed, the content of a directory aside.
fn same(
    left: BorrowedFd<'_>,
    old: &Stat,
    right: BorrowedFd<'_>,
    new: &Stat,
    name: &[u8],
) -> io::Result<bool> {
    let facts = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    if facts(old) != facts(new) || tree::attributes(left, name)? != tree::attributes(right, name)? {
        return Ok(false);
    }
    Ok(match FileType::from_raw_mode(new.st_mode) {
        FileType::Directory => modified(old) == modified(new),
        FileType::Symlink => {
            modified(old) == modified(new)
                && rustix::fs::readlinkat(left, name, Vec::new())?
                    == rustix::fs::readlinkat(right, name, Vec::new())?
        }
        FileType::RegularFile if (old.st_dev, old.st_ino) == (new.st_dev, new.st_ino) => true,
        FileType::RegularFile => {
            old.st_size == new.st_size
                && modified(old) == modified(new)
                // A time without a fraction may be one that an archive cut off: only then the bytes decide.
                && (modified(new).nanoseconds != 0 || same_content(left, right, name)?)
        }
        _ => modified(old) == modified(new),
    })
}

fn same_content(left: BorrowedFd<'_>, right: BorrowedFd<'_>, name: &[u8]) -> io::Result<bool> {
    let (mut left, mut right) = (open_file(left, name)?, open_file(right, name)?);
    let (mut one, mut other) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = left.read(&mut one)?;
        if count == 0 {
            return Ok(right.read(&mut other[..1])? == 0);
        }
        match right.read_exact(&mut other[..count]) {
            Ok(()) if one[..count] == other[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::empty())?.into())
}

/// The names in `directory` and what they are, in order.
fn entries(directory: BorrowedFd<'_>, path: &EntryPath) -> Result<BTreeMap<Vec<u8>, Stat>, CompareError> {
    let mut entries = BTreeMap::new();
    for name in tree::names(directory).map_err(unreadable(path))? {
        match rustix::fs::statat(directory, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            // Gone since it was listed: as if it never was.
            Err(rustix::io::Errno::NOENT) => {}
            Ok(stat) => drop(entries.insert(name, stat)),
            Err(error) => return Err(unreadable(&path.join(&name))(error.into())),
        }
    }
    Ok(entries)
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn unreadable(path: &EntryPath) -> impl FnOnce(io::Error) -> CompareError {
    let path = path.display();
    move |source| CompareError::Tree { path, source }
}

/// The archive under construction.
struct Layer<W> {
    writer: Writer<W>,
    owners: Owners,
    epoch: Option<i64>,
    /// First names of files with several, by device and number.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Unchanged directories above the current place that are not written yet.
    pending: Vec<Entry>,
}

impl<W: Write> Layer<W> {
    fn new(output: W, owners: Owners, epoch: Option<i64>) -> Self {
        Self { writer: Writer::new(output), owners, epoch, links: HashMap::new(), pending: Vec::new() }
    }

    /// What is in a directory that goes into the archive.
    fn entries(
        &self,
        directory: BorrowedFd<'_>,
        path: &EntryPath,
    ) -> Result<BTreeMap<Vec<u8>, Stat>, CompareError> {
        let mut found = entries(directory, path)?;
        found.values_mut().for_each(|stat| self.owners.turn_in(stat));
        Ok(found)
    }

    /// Goes down into the directory `path`, which is written now when it `changed`, or else before the first change
    /// inside. Returns what [`Self::leave`] needs.
    fn enter(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &EntryPath,
        name: &[u8],
        stat: &Stat,
        changed: bool,
    ) -> Result<usize, CompareError> {
        let depth = self.pending.len();
        let entry = self.describe(parent, path, name, stat)?;
        self.pending.push(entry);
        if changed {
            self.flush()?;
        }
        Ok(depth)
    }

    fn leave(&mut self, depth: usize) {
        self.pending.truncate(depth);
    }

    fn flush(&mut self) -> Result<(), CompareError> {
        for entry in std::mem::take(&mut self.pending) {
            self.append(&entry, io::empty())?;
        }
        Ok(())
    }

    fn whiteout(&mut self, parent: &EntryPath, name: &[u8]) -> Result<(), CompareError> {
        self.marker(&parent.join(&Marker::whiteout(name)))
    }

    fn marker(&mut self, path: &EntryPath) -> Result<(), CompareError> {
        self.flush()?;
        let entry = Entry {
            path: path.as_bytes().to_vec(),
            kind: Kind::File { size: 0, segments: None },
            mode: 0o600,
            uid: 0,
            gid: 0,
            modified: Timestamp::default(),
            attributes: Vec::new(),
        };
        self.append(&entry, io::empty())
    }

    /// Writes the file `name` of `parent`, whatever its type; sockets are left out, as they are of no use unpacked.
    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &EntryPath,
        name: &[u8],
        stat: &Stat,
    ) -> Result<(), CompareError> {
        if FileType::from_raw_mode(stat.st_mode) == FileType::Socket {
            return Ok(());
        }
        self.flush()?;
        let entry = self.describe(parent, path, name, stat)?;
        if let Kind::File { .. } = entry.kind {
            let file = open_file(parent, name).map_err(unreadable(path))?;
            return self.append(&entry, file);
        }
        self.append(&entry, io::empty())
    }

    fn describe(
        &mut self,
        parent: BorrowedFd<'_>,
        path: &EntryPath,
        name: &[u8],
        stat: &Stat,
    ) -> Result<Entry, CompareError> {
        let device =
            Device { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(parent, name, Vec::new());
                Kind::Symlink(target.map_err(|error| unreadable(path)(error.into()))?.into_bytes())
            }
            FileType::CharacterDevice => Kind::Character(device),
            FileType::BlockDevice => Kind::Block(device),
            FileType::Fifo => Kind::Fifo,
            _ => Kind::File { size: u64::try_from(stat.st_size).unwrap_or_default(), segments: None },
        };
        let mut entry = Entry {
            path: path.as_bytes().to_vec(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: self.bound(modified(stat)),
            attributes: tree::attributes(parent, name).map_err(unreadable(path))?,
        };
        if stat.st_nlink > 1 && entry.kind != Kind::Directory {
            match self.links.get(&(stat.st_dev, stat.st_ino)) {
                Some(first) => {
                    entry.kind = Kind::Hardlink(first.clone());
                    entry.attributes.clear();
                }
                None => drop(self.links.insert((stat.st_dev, stat.st_ino), entry.path.clone())),
            }
        }
        Ok(entry)
    }

    fn bound(&self, time: Timestamp) -> Timestamp {
        match self.epoch {
            Some(epoch) if time.seconds >= epoch => Timestamp { seconds: epoch, nanoseconds: 0 },
            _ => time,
        }
    }

    fn append(&mut self, entry: &Entry, data: impl Read) -> Result<(), CompareError> {
        let path = || String::from_utf8_lossy(&entry.path).into_owned();
        self.writer.append(entry, data).map_err(|source| CompareError::Archive { path: path(), source })
    }

    fn finish(self) -> Result<W, CompareError> {
        let end = |source| CompareError::Archive { path: "the end".to_owned(), source };
        self.writer.finish().map_err(end)
    }
}
