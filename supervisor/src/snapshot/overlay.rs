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

use super::driver::{Driver, bind, files};
use super::{Kind, Remap};

/// The overlayfs snapshotter.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Options that this kernel needs on every mount.
    options: Vec<String>,
    /// Whether it mounts overlays with mapped lower directories.
    maps: bool,
    capabilities: Vec<&'static str>,
}

/// The capability of [`Overlay`] where it maps owners when a snapshot is mounted.
///
/// Mounts are mapped for whoever sets the labels. Clients of containerd 1.6 set them without a look at capabilities,
/// and cannot do such mounts themselves; nothing in their requests tells them from newer ones, and a snapshot that
/// silently has the wrong owners, as 1.6 makes it, is worse than a refusal.
const REMAP: &str = "remap-ids";

/// The capability to get a parent at the commit, so that a client can unpack layers side by side.
///
/// A directory holds only what differs, whatever it will stand on. The client has a layer applied to an overlay that
/// has nothing but an upper directory, so whiteouts are kept as the kernel wants them: devices, which nobody makes in
/// a user namespace as containerd's clients see it. They unpack one after the other there.
const REBASE: &str = "rebase";

impl Overlay {
    /// Finds out what this kernel needs and can do for snapshots below `root`.
    pub(crate) fn detect(root: &Path) -> Self {
        let mut options = Vec::new();
        // Without this, a lower directory that serves two mounts at once is refused where index is on by default.
        if Path::new("/sys/module/overlay/parameters/index").exists() {
            options.push("index=off".to_owned());
        }
        let (maps, confined) = (maps(root), in_user_namespace());
        if confined {
            options.push("userxattr".to_owned());
        }
        let capabilities = [(REMAP, maps), (REBASE, !confined)];
        let capabilities = capabilities.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
        Self { options, maps, capabilities }
    }
}

/// Whether this kernel and the file system of `root` map owners.
fn maps(root: &Path) -> bool {
    let folder = root.join("probe");
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| folder.join(name));
    let made = [&lower, &upper, &work].into_iter().all(|path| std::fs::create_dir_all(path).is_ok());
    let maps = made && dhow_linux::fstab::maps_overlays(&lower, &upper, &work);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::debug!(folder = %folder.display(), %error, "what the probe made stays");
    }
    maps
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

    fn fill(
        &self,
        directory: &Path,
        kind: Kind,
        parents: &[PathBuf],
        remap: Option<&Remap>,
    ) -> Result<(), PathError> {
        let upper = files(directory);
        make(&upper, 0o755)?;
        if kind == Kind::Active {
            make(&directory.join("work"), 0o711)?;
        }
        let owner = match (remap, parents.first()) {
            // A bind mount maps what it shows, and an overlay only what is below.
            (Some(_), None) if self.maps => (0, 0),
            (Some(remap), _) => remap.root,
            (None, Some(parent)) => {
                let parent = files(parent);
                let parent =
                    std::fs::symlink_metadata(&parent).map_err(PathError::at("stat parent", &parent))?;
                (parent.uid(), parent.gid())
            }
            (None, None) => (0, 0),
        };
        if owner == (0, 0) {
            return Ok(());
        }
        std::os::unix::fs::lchown(&upper, Some(owner.0), Some(owner.1))
            .map_err(PathError::at("chown", &upper))
    }

    fn mounts(&self, directory: &Path, kind: Kind, parents: &[PathBuf], remap: Option<&Remap>) -> Vec<Mount> {
        let upper = files(directory);
        let mapped: Vec<String> =
            remap.filter(|_| self.maps).map(|remap| remap.options().into()).unwrap_or_default();
        let [nearest, others @ ..] = parents else {
            return vec![bind(&upper, if kind == Kind::View { "ro" } else { "rw" }, mapped)];
        };
        let mut options = mapped;
        if kind == Kind::Active {
            options.push(format!("workdir={}", directory.join("work").display()));
            options.push(format!("upperdir={}", upper.display()));
        } else if others.is_empty() {
            return vec![bind(&files(nearest), "ro", options)];
        }
        let lower: Vec<String> = parents.iter().map(|parent| files(parent).display().to_string()).collect();
        options.push(format!("lowerdir={}", lower.join(":")));
        options.extend(self.options.iter().cloned());
        let name = "overlay".to_owned();
        vec![Mount { r#type: name.clone(), source: name, target: String::new(), options }]
    }

    fn capabilities(&self) -> &[&'static str] {
        &self.capabilities
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
