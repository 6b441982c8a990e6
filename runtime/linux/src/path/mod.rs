//! Paths inside a root that somebody hostile may own: each is resolved by the kernel (openat2) as if that root were
//! `/`, or step by step from descriptor to descriptor where something is to be made. Nothing here joins strings and
//! opens the result.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How often a resolution that raced with a rename is tried again before it is an error.
const RACES: usize = 64;
/// As many symbolic links as the kernel follows.
const LINKS: usize = 40;

/// Opens `path` inside `root`; symbolic links and `..` stay inside, magic links are refused.
///
/// # Errors
/// What open(2) would answer inside that root.
pub fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    resolve(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

fn resolve(root: BorrowedFd<'_>, path: &Path, flags: OFlags, how: ResolveFlags) -> io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 0..RACES {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other.map_err(Into::into),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens the folder at `path` inside `root` (`O_PATH`), making what is missing of it with permission bits `mode`.
///
/// A dangling symbolic link is followed, and what it points to is made, inside the root.
///
/// # Errors
/// When a component is something else than a folder, or cannot be made.
pub fn make_folders_in(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<OwnedFd> {
    match open_in(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    Walk::start(root, path)?.finish(mode)
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

/// Makes an empty file at `path` inside `root`, where nothing is, and opens it `O_PATH`; its parents are made too.
///
/// # Errors
/// As [`make_folders_in`], or when there is a file already.
pub fn make_file_in(root: BorrowedFd<'_>, path: &Path, mode: u32) -> io::Result<OwnedFd> {
    let mut walk = Walk::start(root, path)?;
    while let Some(name) = walk.next_name()? {
        if !walk.rest.is_empty() {
            walk.enter(&name, Some(0o755))?;
            continue;
        }
        // The last name: a link goes on, anything else must not be there.
        match walk.look(&name) {
            Ok((handle, FileType::Symlink)) => walk.follow(&handle)?,
            Ok(_) => return Err(Errno::EXIST.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return make_file(walk.here()?, &name, mode);
            }
            Err(error) => return Err(error),
        }
    }
    Err(Errno::ISDIR.into())
}

fn make_file(folder: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(mode)).map(drop)?;
    beneath(folder, name, OFlags::PATH | OFlags::NOFOLLOW)
}

fn beneath(folder: BorrowedFd<'_>, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    resolve(folder, Path::new(name), flags, how)
}

/// A walk from folder to folder. `..` goes back to the folder it came from, never to where that may have been moved;
/// the first folder is the root, and there is no way above it.
struct Walk {
    folders: Vec<OwnedFd>,
    rest: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn start(root: BorrowedFd<'_>, path: &Path) -> io::Result<Self> {
        let first = open_in(root, Path::new("."), OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(Self { folders: vec![first], rest: names(path), links: 0 })
    }

    fn here(&self) -> io::Result<BorrowedFd<'_>> {
        self.folders.last().map(AsFd::as_fd).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The next real name; `..` is gone back at once.
    fn next_name(&mut self) -> io::Result<Option<OsString>> {
        while let Some(name) = self.rest.pop_front() {
            if name != ".." {
                return Ok(Some(name));
            }
            if self.folders.len() > 1 {
                self.folders.pop();
            }
        }
        Ok(None)
    }

    fn look(&self, name: &OsStr) -> io::Result<(OwnedFd, FileType)> {
        let handle = beneath(self.here()?, name, OFlags::PATH | OFlags::NOFOLLOW)?;
        let stat = rustix::fs::fstat(&handle)?;
        Ok((handle, FileType::from_raw_mode(stat.st_mode)))
    }

    /// Puts what a link says in front of the rest.
    fn follow(&mut self, link: &OwnedFd) -> io::Result<()> {
        self.links += 1;
        if self.links > LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = rustix::fs::readlinkat(link, "", Vec::new())?;
        let target = Path::new(OsStr::from_bytes(target.as_bytes()));
        if target.is_absolute() {
            self.folders.truncate(1);
        }
        for name in names(target).into_iter().rev() {
            self.rest.push_front(name);
        }
        Ok(())
    }

    /// Goes into the folder `name`, making it when `mode` is given.
    fn enter(&mut self, name: &OsStr, mode: Option<u32>) -> io::Result<()> {
        match (self.look(name), mode) {
            (Ok((link, FileType::Symlink)), _) => self.follow(&link),
            (Ok((folder, FileType::Directory)), _) => {
                self.folders.push(folder);
                Ok(())
            }
            (Ok(_), _) => Err(Errno::NOTDIR.into()),
            (Err(error), Some(mode)) if error.kind() == io::ErrorKind::NotFound => {
                match rustix::fs::mkdirat(self.here()?, name, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => self.enter(name, None),
                    Err(error) => Err(error.into()),
                }
            }
            (Err(error), _) => Err(error),
        }
    }

    fn finish(mut self, mode: u32) -> io::Result<OwnedFd> {
        while let Some(name) = self.next_name()? {
            self.enter(&name, Some(mode))?;
        }
        self.folders.pop().ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The names of a path, `..` among them.
fn names(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

#[cfg(test)]
mod tests;
