//! `overlayfs`: a snapshot holds what differs from its parents, and the kernel stacks them.
//!
//! ```text
//! <directory>/fs      the upper directory while active, a lower one once committed
//! <directory>/work    overlayfs's own, while active
//! ```

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_proto::containerd::types::Mount;

use super::Kind;
use super::driver::{Driver, bind, files};

/// The overlayfs snapshotter.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Options that this kernel needs on every mount.
    options: Vec<String>,
}

impl Overlay {
    /// Finds out what this kernel needs.
    pub(crate) fn detect() -> Self {
        let mut options = Vec::new();
        // Without this, a lower directory that serves two mounts at once is refused where index is on by default.
        if Path::new("/sys/module/overlay/parameters/index").exists() {
            options.push("index=off".to_owned());
        }
        if in_user_namespace() {
            options.push("userxattr".to_owned());
        }
        Self { options }
    }
}

/// Whether root here is not root of the host: trusted.* attributes are out of reach then.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let mut fields = map.split_whitespace();
    let whole = ["0", "0", "4294967295"];
    !map.is_empty() && !whole.iter().all(|expected| fields.next() == Some(expected))
}

impl Driver for Overlay {
    fn name(&self) -> &'static str {
        "overlayfs"
    }

    fn fill(&self, directory: &Path, kind: Kind, parents: &[PathBuf]) -> Result<(), PathError> {
        let upper = files(directory);
        make(&upper, 0o755)?;
        if kind == Kind::Active {
            make(&directory.join("work"), 0o711)?;
        }
        if let Some(parent) = parents.first() {
            let parent = files(parent);
            let owner = std::fs::symlink_metadata(&parent).map_err(PathError::at("stat parent", &parent))?;
            if (owner.uid(), owner.gid()) != (0, 0) {
                std::os::unix::fs::lchown(&upper, Some(owner.uid()), Some(owner.gid()))
                    .map_err(PathError::at("chown", &upper))?;
            }
        }
        Ok(())
    }

    fn mounts(&self, directory: &Path, kind: Kind, parents: &[PathBuf]) -> Vec<Mount> {
        let upper = files(directory);
        let [nearest, others @ ..] = parents else {
            return vec![bind(&upper, if kind == Kind::View { "ro" } else { "rw" })];
        };
        let mut options = Vec::new();
        if kind == Kind::Active {
            options.push(format!("workdir={}", directory.join("work").display()));
            options.push(format!("upperdir={}", upper.display()));
        } else if others.is_empty() {
            return vec![bind(&files(nearest), "ro")];
        }
        let lower: Vec<String> = parents.iter().map(|parent| files(parent).display().to_string()).collect();
        options.push(format!("lowerdir={}", lower.join(":")));
        options.extend(self.options.iter().cloned());
        let name = "overlay".to_owned();
        vec![Mount { r#type: name.clone(), source: name, target: String::new(), options }]
    }

    fn holds_differences(&self) -> bool {
        true
    }
}

/// Makes a directory with exactly these permissions, whatever the umask.
fn make(path: &Path, mode: u32) -> Result<(), PathError> {
    std::fs::DirBuilder::new().mode(mode).create(path).map_err(PathError::at("create", path))?;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(PathError::at("chmod", path))
}
