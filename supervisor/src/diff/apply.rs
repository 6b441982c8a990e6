//! `apply`: the entries of a layer's archive become files in a tree.
//!
//! The archive is hostile: names are cleaned, parents are resolved inside the tree, nothing is opened through a last
//! component that exists already. Order of metadata: owner, mode, attributes (capabilities die with a change of
//! owner), times; the times of directories at the end, when nothing is made in them any more.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use dhow_proto::error::Kind as Failure;
use rustix::fs::FileType;

use super::archive::{ArchiveError, Device, Entry, Kind, Reader, Segment, Timestamp};
use super::path::{EntryPath, EntryPathError};
use super::tree::{self, Occupant, Tree};
use super::whiteout::{Marker, MarkerError, Target, is_overlay_attribute};
use crate::fault::Fault;

/// Why a layer could not be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The tree is not there.
    #[error("open tree {path}")]
    Open {
        /// Where it should be.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The archive cannot be read.
    #[error("read layer")]
    Archive(#[from] ArchiveError),
    /// The data of a file cannot be read.
    #[error("read data of {path}")]
    Data {
        /// Of which entry.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A name is not acceptable.
    #[error("entry {path:?} is refused")]
    Name {
        /// The name.
        path: String,
        /// Why.
        source: EntryPathError,
    },
    /// A whiteout is not acceptable.
    #[error("entry {path:?} is refused")]
    Whiteout {
        /// The name.
        path: String,
        /// Why.
        source: MarkerError,
    },
    /// The root of a layer is something other than a directory.
    #[error("the root of the layer is no directory")]
    Root,
    /// The file system refused.
    #[error("{action} {path}")]
    Write {
        /// What was being done.
        action: &'static str,
        /// To which entry.
        path: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Fault for ApplyError {
    fn kind(&self) -> Failure {
        match self {
            Self::Archive(ArchiveError::Read { .. }) | Self::Data { .. } => Failure::Unknown,
            Self::Archive(_) | Self::Name { .. } | Self::Whiteout { .. } | Self::Root => {
                Failure::InvalidArgument
            }
            Self::Open { .. } | Self::Write { .. } => Failure::Internal,
        }
    }
}

/// What applying a layer made.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Directories that the archive did not hold but needed: their metadata is that of the layers below.
    pub(crate) implied: Vec<EntryPath>,
}

/// Applies the archive in `input` to the tree at `root`, and reads `input` to its end.
pub(crate) fn apply(input: impl Read, root: &Path, target: Target) -> Result<Applied, ApplyError> {
    let open = |source| ApplyError::Open { path: root.display().to_string(), source };
    let tree = Tree::open(root).map_err(open)?;
    let mut reader = Reader::new(input);
    let mut applier = Applier::new(&tree, target);
    while let Some(entry) = reader.next()? {
        applier.entry(&entry, &mut reader)?;
    }
    let mut rest = reader.into_input();
    io::copy(&mut rest, &mut io::sink())
        .map_err(|source| ApplyError::Data { path: "the end of the archive".to_owned(), source })?;
    applier.finish()
}

struct Applier<'a> {
    tree: &'a Tree,
    target: Target,
    buffer: Vec<u8>,
    /// Times of directories, set at the end.
    directories: HashMap<EntryPath, Timestamp>,
    /// What this archive made, when the tree also holds the layers below.
    made: HashSet<EntryPath>,
    implied: Vec<EntryPath>,
}

impl<'a> Applier<'a> {
    fn new(tree: &'a Tree, target: Target) -> Self {
        Self {
            tree,
            target,
            buffer: vec![0; 128 << 10],
            directories: HashMap::new(),
            made: HashSet::new(),
            implied: Vec::new(),
        }
    }

    fn entry(&mut self, entry: &Entry, data: &mut Reader<impl Read>) -> Result<(), ApplyError> {
        let refused = || String::from_utf8_lossy(&entry.path).into_owned();
        let path =
            EntryPath::parse(&entry.path).map_err(|source| ApplyError::Name { path: refused(), source })?;
        let Some((parent_path, name)) = path.split() else { return self.root(entry) };
        let marker =
            Marker::parse(name).map_err(|source| ApplyError::Whiteout { path: refused(), source })?;
        let parent = self.parent(&parent_path)?;
        match marker {
            Some(Marker::Ignored) => Ok(()),
            Some(Marker::Opaque) => self.opaque(&parent_path).map_err(write("make opaque", &parent_path)),
            Some(Marker::Whiteout(hidden)) => self
                .whiteout(parent.as_fd(), &parent_path.join(hidden), hidden)
                .map_err(write("white out", &path)),
            None => {
                self.place(entry, parent.as_fd(), &path, name, data)?;
                if self.target == Target::Merged {
                    self.made.insert(path);
                }
                Ok(())
            }
        }
    }

    /// The entry of the layer's root: only its metadata is taken.
    fn root(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        if entry.kind != Kind::Directory {
            return Err(ApplyError::Root);
        }
        let root = EntryPath::default();
        self.directory_metadata(self.tree.root(), entry).map_err(write("set metadata of", &root))?;
        self.directories.insert(root, entry.modified);
        Ok(())
    }

    /// The directory that an entry goes into; what is missing is made.
    fn parent(&mut self, path: &EntryPath) -> Result<OwnedFd, ApplyError> {
        match self.tree.directory(path) {
            Err(error) if matches!(error.raw_os_error(), Some(2 | 20)) => self.make_parents(path),
            other => other,
        }
        .map_err(write("open directory", path))
    }

    fn make_parents(&mut self, path: &EntryPath) -> io::Result<OwnedFd> {
        let mut at = EntryPath::default();
        let mut directory = self.tree.directory(&at)?;
        for name in path.components() {
            let next = at.join(name);
            directory = match self.tree.directory(&next) {
                Ok(found) => found,
                Err(error) => {
                    let hidden = match tree::occupant(directory.as_fd(), name)? {
                        None => false,
                        // The archive deleted the directory below and now puts files into a new one.
                        Some(Occupant::Whiteout) if self.target == Target::Overlay => true,
                        Some(_) => return Err(error),
                    };
                    if hidden {
                        tree::remove(directory.as_fd(), name)?;
                    }
                    let made = tree::create_directory(directory.as_fd(), name)?;
                    tree::set_owner_and_mode(made.as_fd(), 0, 0, 0o755)?;
                    if hidden {
                        tree::make_opaque(made.as_fd())?;
                    } else {
                        self.implied.push(next.clone());
                    }
                    self.tree.directory(&next)?
                }
            };
            at = next;
        }
        Ok(directory)
    }

    fn whiteout(&mut self, parent: BorrowedFd<'_>, path: &EntryPath, name: &[u8]) -> io::Result<()> {
        if self.target == Target::Merged {
            return self.remove_below(parent, path, name);
        }
        match tree::occupant(parent, name)? {
            None => tree::create_whiteout(parent, name),
            Some(Occupant::Directory) => tree::make_opaque(tree::open_child(parent, name)?.as_fd()),
            // What this layer holds hides what is below already.
            Some(_) => Ok(()),
        }
    }

    fn opaque(&mut self, path: &EntryPath) -> io::Result<()> {
        let directory = self.tree.open_directory(path)?;
        if self.target == Target::Overlay {
            return tree::make_opaque(directory.as_fd());
        }
        for name in tree::names(directory.as_fd())? {
            self.remove_below(directory.as_fd(), &path.join(&name), &name)?;
        }
        Ok(())
    }

    /// Removes what the layers below put at `path`, and keeps what this archive put there.
    fn remove_below(&self, parent: BorrowedFd<'_>, path: &EntryPath, name: &[u8]) -> io::Result<()> {
        if !self.made.contains(path) {
            return tree::remove(parent, name);
        }
        if tree::occupant(parent, name)? == Some(Occupant::Directory) {
            let directory = tree::open_child(parent, name)?;
            for child in tree::names(directory.as_fd())? {
                self.remove_below(directory.as_fd(), &path.join(&child), &child)?;
            }
        }
        Ok(())
    }

    fn place(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        path: &EntryPath,
        name: &[u8],
        data: &mut Reader<impl Read>,
    ) -> Result<(), ApplyError> {
        match &entry.kind {
            Kind::Directory => {
                self.directory(entry, parent, path, name).map_err(write("make directory", path))
            }
            Kind::File { size, segments } => {
                let file = replacing(parent, name, || tree::create_file(parent, name))
                    .map_err(write("create", path))?;
                self.fill(&file, path, *size, segments.as_deref(), data)?;
                self.file_metadata(file.as_fd(), entry).map_err(write("set metadata of", path))
            }
            Kind::Hardlink(target) => self.hardlink(target, parent, name).map_err(write("link", path)),
            Kind::Symlink(target) => {
                replacing(parent, name, || Ok(rustix::fs::symlinkat(target.as_slice(), parent, name)?))
                    .and_then(|()| self.node_metadata(parent, name, entry))
                    .map_err(write("make symbolic link", path))
            }
            Kind::Character(device) => {
                self.node(entry, parent, name, FileType::CharacterDevice, *device, path)
            }
            Kind::Block(device) => self.node(entry, parent, name, FileType::BlockDevice, *device, path),
            Kind::Fifo => self.node(entry, parent, name, FileType::Fifo, Device { major: 0, minor: 0 }, path),
        }
    }

    fn directory(
        &mut self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        path: &EntryPath,
        name: &[u8],
    ) -> io::Result<()> {
        let directory = match tree::create_directory(parent, name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match tree::occupant(parent, name)?
            {
                Some(Occupant::Directory) => tree::open_child(parent, name)?,
                occupant => {
                    tree::remove(parent, name)?;
                    let directory = tree::create_directory(parent, name)?;
                    if occupant == Some(Occupant::Whiteout) && self.target == Target::Overlay {
                        tree::make_opaque(directory.as_fd())?;
                    }
                    directory
                }
            },
            other => other?,
        };
        self.directory_metadata(directory.as_fd(), entry)?;
        self.directories.insert(path.clone(), entry.modified);
        self.implied.retain(|implied| implied != path);
        Ok(())
    }

    fn fill(
        &mut self,
        file: &std::fs::File,
        path: &EntryPath,
        size: u64,
        segments: Option<&[Segment]>,
        data: &mut Reader<impl Read>,
    ) -> Result<(), ApplyError> {
        let whole = [Segment { offset: 0, length: size }];
        for segment in segments.unwrap_or(&whole) {
            let mut at = segment.offset;
            let end = at + segment.length;
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
                let count = data
                    .read(&mut self.buffer[..most])
                    .map_err(|source| ApplyError::Data { path: path.display(), source })?;
                if count == 0 {
                    let source = io::ErrorKind::UnexpectedEof.into();
                    return Err(ApplyError::Data { path: path.display(), source });
                }
                file.write_all_at(&self.buffer[..count], at).map_err(write("write", path))?;
                at += count as u64;
            }
        }
        if segments.is_some() {
            file.set_len(size).map_err(write("set the length of", path))?;
        }
        Ok(())
    }

    fn hardlink(&self, target: &[u8], parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let target = EntryPath::parse(target).map_err(invalid)?;
        let (folder, file) = target.split().ok_or_else(|| invalid(EntryPathError::Climbs))?;
        let folder = self.tree.directory(&folder)?;
        let source = tree::occupant(folder.as_fd(), file)?.ok_or(io::ErrorKind::NotFound)?;
        if matches!(source, Occupant::Other { .. }) && tree::occupant(parent, name)? == Some(source) {
            return Ok(());
        }
        let link = || Ok(rustix::fs::linkat(&folder, file, parent, name, rustix::fs::AtFlags::empty())?);
        replacing(parent, name, link)
    }

    fn node(
        &self,
        entry: &Entry,
        parent: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
        device: Device,
        path: &EntryPath,
    ) -> Result<(), ApplyError> {
        replacing(parent, name, || tree::create_node(parent, name, kind, device))
            .and_then(|()| self.node_metadata(parent, name, entry))
            .map_err(write("make node", path))
    }

    fn directory_metadata(&self, directory: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        tree::set_owner_and_mode(directory, entry.uid, entry.gid, entry.mode)?;
        set_attributes(entry, |name, value| tree::set_file_attribute(directory, name, value))
    }

    fn file_metadata(&self, file: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        tree::set_owner_and_mode(file, entry.uid, entry.gid, entry.mode)?;
        set_attributes(entry, |name, value| tree::set_file_attribute(file, name, value))?;
        tree::set_file_times(file, entry.modified)
    }

    fn node_metadata(&self, parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> io::Result<()> {
        tree::set_owner(parent, name, entry.uid, entry.gid)?;
        if !matches!(entry.kind, Kind::Symlink(_)) {
            tree::set_mode(parent, name, entry.mode)?;
        }
        set_attributes(entry, |attribute, value| tree::set_attribute(parent, name, attribute, value))?;
        tree::set_times(parent, name, entry.modified)
    }

    fn finish(self) -> Result<Applied, ApplyError> {
        for (path, modified) in &self.directories {
            match self.tree.open_directory(path) {
                Ok(directory) => tree::set_file_times(directory.as_fd(), *modified)
                    .map_err(write("set the time of", path))?,
                // A later entry put something else there.
                Err(error) if matches!(error.raw_os_error(), Some(2 | 20 | 40)) => {}
                Err(error) => return Err(write("open directory", path)(error)),
            }
        }
        Ok(Applied { implied: self.implied })
    }
}

/// Runs `create`; when the name is taken, once more after removing what is there.
fn replacing<T>(parent: BorrowedFd<'_>, name: &[u8], create: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            tree::remove(parent, name)?;
            create()
        }
        other => other,
    }
}

/// Sets the attributes of `entry`; those that the file system cannot hold are left out, as every engine does.
fn set_attributes(entry: &Entry, set: impl Fn(&std::ffi::OsStr, &[u8]) -> io::Result<()>) -> io::Result<()> {
    for (name, value) in &entry.attributes {
        if is_overlay_attribute(name.as_encoded_bytes()) {
            continue;
        }
        match set(name, value) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::debug!(attribute = %name.display(), "the file system does not hold this attribute");
            }
            other => other?,
        }
    }
    Ok(())
}

fn write(action: &'static str, path: &EntryPath) -> impl FnOnce(io::Error) -> ApplyError {
    let path = path.display();
    move |source| ApplyError::Write { action, path, source }
}
