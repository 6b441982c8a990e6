//! Mounts as the differ sees them: which directories they stand for, and, when that does not say enough, mounted.

use std::io;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_linux::fstab;
use dhow_proto::containerd::types::Mount;
use nix::mount::{MntFlags, umount2};

use super::differ::DifferError;

/// The directories behind a list of mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directories {
    /// Where changes are written.
    pub(crate) upper: Option<PathBuf>,
    /// What is below, the nearest first.
    pub(crate) lower: Vec<PathBuf>,
    /// Whether `upper` holds only differences, with overlayfs's markers.
    pub(crate) overlay: bool,
}

impl Directories {
    /// The directories of `mounts`; `None` when they are more than one bind mount or one overlay.
    pub(crate) fn of(mounts: &[Mount]) -> Option<Self> {
        let [mount] = mounts else {
            let nothing = Self { upper: None, lower: Vec::new(), overlay: false };
            return mounts.is_empty().then_some(nothing);
        };
        match mount.r#type.as_str() {
            "overlay" => {
                let option = |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name));
                let upper = option("upperdir=").map(PathBuf::from);
                let lower: Vec<PathBuf> = option("lowerdir=")
                    .into_iter()
                    .flat_map(|lower| lower.split(':'))
                    .map(PathBuf::from)
                    .collect();
                // With an upper directory alone: the client wants the layer apart, to give it a parent later.
                (upper.is_some() || !lower.is_empty()).then_some(Self { upper, lower, overlay: true })
            }
            "bind" | "rbind" if mount.options.iter().any(|option| option == "ro") => {
                Some(Self { upper: None, lower: vec![PathBuf::from(&mount.source)], overlay: false })
            }
            "bind" | "rbind" => {
                Some(Self { upper: Some(PathBuf::from(&mount.source)), lower: Vec::new(), overlay: false })
            }
            _ => None,
        }
    }
}

/// Mounts at a temporary place, until dropped.
#[derive(Debug)]
pub(crate) struct Mounted {
    folder: PathBuf,
    count: usize,
}

impl Mounted {
    /// Mounts `mounts`, one on the other, at a new folder below `parent`.
    pub(crate) fn new(mounts: &[Mount], parent: &Path) -> Result<Self, DifferError> {
        let folder = parent.join(format!("mount-{}", crate::image::unique()));
        std::fs::create_dir_all(&folder).map_err(PathError::at("create", &folder))?;
        let mut mounted = Self { folder, count: 0 };
        for Mount { r#type, source, options, .. } in mounts {
            fstab::mount(r#type, source, options, &mounted.folder)?;
            mounted.count += 1;
        }
        Ok(mounted)
    }

    /// Where the mounts are.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for _ in 0..self.count {
            if let Err(error) = umount2(&self.folder, MntFlags::MNT_DETACH) {
                tracing::warn!(path = %self.folder.display(), error = %error, "a temporary mount stays");
                return;
            }
        }
        if let Err(error) = std::fs::remove_dir(&self.folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.folder.display(), error = %error, "a temporary folder stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(kind: &str, source: &str, options: &[&str]) -> Mount {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Mount { r#type: kind.to_owned(), source: source.to_owned(), options, ..Mount::default() }
    }

    #[test]
    fn directories_are_read_from_mounts() {
        let overlay = new("overlay", "overlay", &["workdir=/w", "upperdir=/u", "lowerdir=/b:/a"]);
        let directories = Directories::of(&[overlay]).expect("an overlay");
        assert_eq!(directories.upper, Some("/u".into()));
        assert_eq!(directories.lower, [PathBuf::from("/b"), "/a".into()]);
        let apart =
            Directories::of(&[new("overlay", "overlay", &["rw", "upperdir=/u"])]).expect("an overlay");
        assert_eq!((apart.upper, apart.lower.len(), apart.overlay), (Some("/u".into()), 0, true));
        let bound = Directories::of(&[new("bind", "/x", &["rw", "rbind"])]).expect("a bind mount");
        assert_eq!((bound.upper, bound.lower.len(), bound.overlay), (Some("/x".into()), 0, false));
        let view = Directories::of(&[new("bind", "/x", &["ro", "rbind"])]).expect("a bind mount");
        assert_eq!((view.upper, view.lower), (None, vec![PathBuf::from("/x")]));
        assert!(
            Directories::of(&[]).is_some_and(|nothing| nothing.upper.is_none() && nothing.lower.is_empty())
        );
        assert_eq!(Directories::of(&[new("tmpfs", "tmpfs", &[])]), None);
    }
}
