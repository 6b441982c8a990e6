//! Paths inside a root that somebody hostile may own: each is resolved by the kernel (openat2) as if that root were
//! `/`, and handed out as a descriptor. Nothing here joins strings and opens the result.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How often a resolution that raced with a rename is tried again before it is an error.
const RACES: usize = 64;

/// Opens `path` inside `root`; symbolic links and `..` stay inside, magic links are refused.
///
/// # Errors
/// What open(2) would answer inside that root.
pub fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    resolve(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

fn resolve(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    how: ResolveFlags,
) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..RACES {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, mode, how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens the folder at `path` inside `root` (`O_PATH`), making what is missing of it with permission bits `mode`.
///
/// # Errors
/// When a component is something else than a folder, or cannot be made.
pub fn make_folders_in(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<OwnedFd> {
    const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
    match open_in(root, path, FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    // Walk down: existing components through the resolver (they may be links), missing ones by mkdirat in place.
    let mut here = PathBuf::new();
    let mut folder = open_in(root, Path::new("."), FOLDER)?;
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                here.push(name);
                folder = step(root, &here, &folder, name, mode)?;
            }
            Component::ParentDir => {
                here.push("..");
                folder = open_in(root, &here, FOLDER)?;
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(folder)
}

fn step(root: BorrowedFd<'_>, here: &Path, parent: &OwnedFd, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);
    match open_in(root, here, FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    // A dangling link answers EXIST to mkdir and NotFound here: refused, never followed out of the way.
    open_beneath(parent.as_fd(), name, FOLDER)
}

fn open_beneath(folder: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    resolve(
        folder,
        Path::new(name),
        flags,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// The folder that `path` lies in, made when missing, and the last name of the path.
///
/// # Errors
/// As [`make_folders_in`]; `EINVAL` when the path has no last name.
pub fn make_parent_in(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<(OwnedFd, PathBuf)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    Ok((make_folders_in(root, parent, mode)?, PathBuf::from(name)))
}

/// Makes an empty file at `path` inside `root` and opens it `O_PATH`; its parents are made too.
///
/// # Errors
/// As [`make_parent_in`], or when the file cannot be made.
pub fn make_file_in(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let (parent, name) = make_parent_in(root, path, 0o755)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(&parent, &name, flags, Mode::from_raw_mode(mode)).map(drop)?;
    open_beneath(parent.as_fd(), name.as_os_str(), OFlags::PATH)
}

#[cfg(test)]
mod tests;
