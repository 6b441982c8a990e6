//! Copy-up: a new volume starts with what the image has at the place where it is mounted.
//!
//! The image is hostile: its tree is read by descriptors below a detached mount of its layers, and nothing in it is
//! followed. The mount is never attached anywhere, so a killed daemon leaves none.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, XattrFlags, chownat,
    fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, mkdirat, mknodat, openat, openat2,
    readlinkat, statat, symlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};
use rustix::process::{Gid, Uid};

/// The deepest tree that is copied.
const DEPTH: usize = 256;
/// Attributes of overlay itself, which belong to layers and not to files.
const OVERLAY: &[u8] = b"trusted.overlay.";

/// Copies what the image of `layers` (topmost first) has at `destination` into the empty folder `data`; nothing when
/// it has no folder there, or `data` holds something.
pub(super) fn copy_up(layers: &[PathBuf], destination: &str, data: &Path) -> Result<(), PathError> {
    let into = open_folder(data)?;
    if !is_empty(&into).map_err(PathError::at("list", data))? {
        return Ok(());
    }
    let fail = |error: Errno| PathError::at("copy the image's files into", data)(error.into());
    let root = merged(layers).map_err(fail)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let from = match openat2(&root, destination, folder_flags(), Mode::empty(), resolve) {
        Ok(from) => from,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    copy_folder(from.as_fd(), into.as_fd(), 0).map_err(PathError::at("copy the image's files into", data))
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn open_folder(path: &Path) -> Result<OwnedFd, PathError> {
    rustix::fs::open(path, folder_flags(), Mode::empty())
        .map_err(|error| PathError::at("open", path)(error.into()))
}

fn is_empty(folder: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(folder)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The layers as one tree. A single layer is a tree already.
fn merged(layers: &[PathBuf]) -> Result<OwnedFd, Errno> {
    if let [only] = layers {
        return rustix::fs::open(only, folder_flags(), Mode::empty());
    }
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers {
        fsconfig_set_string(&overlay, "lowerdir+", layer.as_path())?;
    }
    fsconfig_set_flag(&overlay, "ro")?;
    fsconfig_create(&overlay)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn copy_folder(from: BorrowedFd<'_>, into: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
    if depth > DEPTH {
        return Err(Errno::NAMETOOLONG.into());
    }
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                mkdirat(into, name, Mode::RWXU)?;
                let below = openat(from, name, folder_flags(), Mode::empty())?;
                let made = openat(into, name, folder_flags(), Mode::empty())?;
                copy_folder(below.as_fd(), made.as_fd(), depth + 1)?;
            }
            FileType::RegularFile => copy_file(from, into, name, &stat)?,
            FileType::Symlink => {
                symlinkat(readlinkat(from, name, Vec::new())?.as_c_str(), into, name)?;
                chownat(into, name, owner(&stat), group(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
                utimensat(into, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            kind => {
                mknodat(into, name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev)?;
                chownat(into, name, owner(&stat), group(&stat), AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
    }
    dress(from, into, &fstat(from)?)
}

fn copy_file(from: BorrowedFd<'_>, into: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> io::Result<()> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let source = openat(from, name, OFlags::RDONLY | flags, Mode::empty())?;
    let target =
        openat(into, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | flags, Mode::RUSR | Mode::WUSR)?;
    let (mut reader, mut writer) = (std::fs::File::from(source), std::fs::File::from(target));
    // Inside the kernel, where it can: std copies by copy_file_range(2).
    io::copy(&mut reader, &mut writer)?;
    dress(reader.as_fd(), writer.as_fd(), stat)
}

/// Owner, then permissions (a change of owner clears set-user-ID), attributes and times.
fn dress(from: BorrowedFd<'_>, into: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
    fchown(into, owner(stat), group(stat))?;
    fchmod(into, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let mut names = vec![0; 64 << 10];
    let length = match flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(error.into()),
    };
    for name in
        names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty() && !name.starts_with(OVERLAY))
    {
        let mut value = vec![0; 64 << 10];
        let length = fgetxattr(from, name, &mut value[..])?;
        match fsetxattr(into, name, &value[..length], XattrFlags::empty()) {
            // A file system that keeps none of that sort.
            Err(error) if error != Errno::NOTSUP => return Err(error.into()),
            _ => {}
        }
    }
    Ok(futimens(into, &times(stat))?)
}

fn owner(stat: &Stat) -> Option<Uid> {
    Some(Uid::from_raw(stat.st_uid))
}

fn group(stat: &Stat) -> Option<Gid> {
    Some(Gid::from_raw(stat.st_gid))
}

fn times(stat: &Stat) -> Timestamps {
    let nanoseconds = |value: u64| i64::try_from(value).unwrap_or(0);
    Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: nanoseconds(stat.st_atime_nsec) },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds(stat.st_mtime_nsec) },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn the_merged_tree_is_copied_once() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let layer = |name: &str, file: &str, text: &str| {
            let data = folder.path().join(name).join("data/sub");
            std::fs::create_dir_all(&data).expect("folders");
            std::fs::write(data.join(file), text).expect("a file");
            folder.path().join(name)
        };
        let layers =
            [layer("top", "file", "new"), layer("bottom", "file", "old"), layer("low", "other", "kept")];
        std::os::unix::fs::symlink("/etc/passwd", layers[1].join("data/link")).expect("a link");
        std::os::unix::fs::chown(layers[0].join("data/sub/file"), Some(7), Some(8)).expect("an owner");
        let mode = std::fs::Permissions::from_mode(0o2750);
        std::fs::set_permissions(layers[0].join("data"), mode).expect("a mode");
        let volume = folder.path().join("volume");
        std::fs::create_dir(&volume).expect("a volume");
        copy_up(&layers, "/data", &volume).expect("copies");
        assert_eq!(std::fs::read_to_string(volume.join("sub/file")).expect("a file"), "new");
        assert_eq!(std::fs::read_to_string(volume.join("sub/other")).expect("a file"), "kept");
        assert_eq!(std::fs::read_link(volume.join("link")).expect("a link"), Path::new("/etc/passwd"));
        let metadata = std::fs::metadata(volume.join("sub/file")).expect("metadata");
        assert_eq!((metadata.uid(), metadata.gid()), (7, 8));
        assert_eq!(std::fs::metadata(&volume).expect("metadata").mode() & 0o7777, 0o2750);

        std::fs::write(volume.join("sub/file"), "changed").expect("writes");
        copy_up(&layers, "/data", &volume).expect("nothing to do");
        assert_eq!(std::fs::read_to_string(volume.join("sub/file")).expect("a file"), "changed");
        copy_up(&layers, "/nowhere", &volume).expect("nothing to do");
    }
}
