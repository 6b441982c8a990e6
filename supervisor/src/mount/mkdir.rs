//! `mkdir/`: the options `X-containerd.mkdir.path=PATH[:MODE[:UID:GID]]` make folders.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_linux::path::open_in;
use dhow_proto::containerd::types::Mount;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::error::StepError;
use super::transform::take_options;

const PREFIX: &str = "X-containerd.mkdir.";

/// Makes the folders that `mount` asks for, below `roots`.
pub(super) fn apply(mut mount: Mount, roots: &[PathBuf]) -> Result<Mount, StepError> {
    for option in take_options(&mut mount, PREFIX) {
        let wanted = Wanted::parse(&option).ok_or(StepError::Option(option))?;
        make(&wanted, roots)?;
    }
    Ok(mount)
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    path: PathBuf,
    mode: u32,
    owner: Option<(u32, u32)>,
}

impl Wanted {
    fn parse(option: &str) -> Option<Self> {
        let parts: Vec<&str> = option.strip_prefix("path=")?.splitn(4, ':').collect();
        let mode = |text: &str| u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
        Some(match parts[..] {
            [path] => Self { path: path.into(), mode: 0o700, owner: None },
            [path, bits] => Self { path: path.into(), mode: mode(bits)?, owner: None },
            [path, bits, uid, gid] => {
                let owner = Some((uid.parse().ok()?, gid.parse().ok()?));
                Self { path: path.into(), mode: mode(bits)?, owner }
            }
            _ => return None,
        })
    }
}

/// The root that `path` lies in, opened, and the rest of the path.
pub(super) fn within<'a>(path: &'a Path, roots: &[PathBuf]) -> Result<(OwnedFd, &'a Path), StepError> {
    let outside = || StepError::Outside(path.display().to_string());
    let inside = |root: &PathBuf| path.strip_prefix(root).ok().map(|rest| (root.clone(), rest));
    let (root, rest) = roots.iter().find_map(inside).ok_or_else(outside)?;
    let plain = rest.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !plain || rest.file_name().is_none() {
        return Err(outside());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, &root, flags, Mode::empty());
    Ok((opened.map_err(|error| PathError::at("open", root)(error.into()))?, rest))
}

fn make(wanted: &Wanted, roots: &[PathBuf]) -> Result<(), StepError> {
    let failed = |action| move |error: Errno| PathError::at(action, &wanted.path)(error.into());
    let (root, rest) = within(&wanted.path, roots)?;
    let parent = rest.parent().unwrap_or_else(|| Path::new(""));
    let parent = open_in(root.as_fd(), parent, OFlags::PATH | OFlags::DIRECTORY)
        .map_err(PathError::at("open the parent of", &wanted.path))?;
    let name = rest.file_name().unwrap_or_default();
    let mode = Mode::from_raw_mode(wanted.mode);
    let made = match rustix::fs::mkdirat(&parent, name, mode) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(failed("make folder")(error).into()),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(&parent, name, flags, Mode::empty()).map_err(failed("open"))?;
    if !made {
        let found = rustix::fs::fstat(&folder).map_err(failed("stat"))?.st_mode & 0o777;
        return match found == wanted.mode {
            true => Ok(()),
            false => {
                let path = wanted.path.display().to_string();
                Err(StepError::Mode { path, found, wanted: wanted.mode })
            }
        };
    }
    // Whatever the umask is.
    rustix::fs::fchmod(&folder, mode).map_err(failed("chmod"))?;
    if let Some((uid, gid)) = wanted.owner {
        rustix::fs::fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(failed("chown"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn folders_are_made_below_the_roots_only() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let roots = [folder.path().to_owned()];
        let path = folder.path().join("new");
        let apply = |option: String| {
            apply(Mount { options: vec!["ro".to_owned(), option], ..Mount::default() }, &roots)
        };
        let mount = apply(format!("X-containerd.mkdir.path={}:0751", path.display())).expect("mkdir");
        assert_eq!(mount.options, ["ro"]);
        assert_eq!(std::fs::metadata(&path).expect("stat").mode() & 0o7777, 0o751);
        apply(format!("X-containerd.mkdir.path={}:751", path.display())).expect("is there");
        let refused = [
            format!("X-containerd.mkdir.path={}:700", path.display()),
            "X-containerd.mkdir.path=/elsewhere".to_owned(),
            format!("X-containerd.mkdir.path={}/../up", folder.path().display()),
            format!("X-containerd.mkdir.path={}/a/b", folder.path().display()),
            format!("X-containerd.mkdir.path={}/c:4755", folder.path().display()),
            "X-containerd.mkdir.mode=1".to_owned(),
        ];
        for option in refused {
            assert!(apply(option.clone()).is_err(), "{option}");
        }
    }
}
