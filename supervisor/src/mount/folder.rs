//! The folder of an activation: what is mounted in it, and how that ends.
//!
//! Whatever is in the folder is found by looking, so it does not matter how far an activation came. Nothing is ever
//! removed recursively: what did not unmount must not be emptied.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dhow_linux::file::PathError;
use dhow_linux::fstab::{self, MountError};
use dhow_linux::loop_device;
use dhow_proto::containerd::types::{ActiveMount, Mount};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::error::StepError;

/// Mounts `mount` as number `index` of `folder`.
pub(super) fn mount(folder: &Path, index: usize, mount: Mount) -> Result<ActiveMount, StepError> {
    let point = folder.join(format!("{index:03}"));
    match mount.r#type.as_str() {
        "loop" => attach(&mount, &point)?,
        kind => {
            std::fs::create_dir(&point).map_err(PathError::at("create", &point))?;
            let plain = fstab::mount(kind, &mount.source, &mount.options, &point);
            match plain {
                // Before Linux 6.12 only a block device holds an erofs.
                Err(MountError::Mount { source: Errno::ENOTBLK, .. }) if kind == "erofs" => {
                    let options = [mount.options.as_slice(), &["loop".to_owned(), "ro".to_owned()]].concat();
                    fstab::mount(kind, &mount.source, &options, &point)?;
                }
                plain => plain?,
            }
        }
    }
    let mounted_at = Some(SystemTime::now().into());
    let mount_point = point.to_string_lossy().into_owned();
    Ok(ActiveMount { mount: Some(mount), mounted_at, mount_point, ..ActiveMount::default() })
}

/// Makes `point` a link to a loop device of its own.
fn attach(mount: &Mount, point: &Path) -> Result<(), StepError> {
    let read_only = mount.options.iter().any(|option| option == "ro");
    let attached = loop_device::attach(Path::new(&mount.source), read_only).map_err(StepError::Loop)?;
    // The link first: a crash leaves a link to a device that is gone, not a device without a link.
    std::os::unix::fs::symlink(&attached.path, point).map_err(PathError::at("link", point))?;
    loop_device::keep(attached.device.as_fd(), true).map_err(StepError::Loop)
}

/// Unmounts everything in `folder`, the last first, and removes it; nothing there is success.
pub(super) fn clear(folder: &Path) -> Result<(), PathError> {
    let mut points = match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PathError::at("list", folder)(error)),
    };
    points.sort_unstable();
    for point in points.iter().rev() {
        let kind = std::fs::symlink_metadata(point).map_err(PathError::at("stat", point))?.file_type();
        if kind.is_symlink() {
            detach(point);
            std::fs::remove_file(point).map_err(PathError::at("remove", point))?;
        } else {
            unmount(point).map_err(|error| PathError::at("unmount", point)(error.into()))?;
            std::fs::remove_dir(point).map_err(PathError::at("remove", point))?;
        }
    }
    std::fs::remove_dir(folder).map_err(PathError::at("remove", folder))
}

/// Lets the kernel detach the loop device behind `link` with its last user.
fn detach(link: &Path) {
    // After a crash the device may be gone, or attached to something else; then it is in use and not ours to end.
    if let Ok(device) = File::open(link)
        && let Err(error) = loop_device::keep(device.as_fd(), false)
    {
        tracing::debug!(link = %link.display(), %error, "the loop device is detached already");
    }
}

fn unmount(point: &Path) -> Result<(), Errno> {
    loop {
        match umount2(point, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EINVAL) => return Ok(()),
            // Somebody still looks at it: it goes with its last user.
            Err(Errno::EBUSY) => umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?,
            Err(error) => return Err(error),
        }
    }
}

/// The numbers of the folders in `targets`.
pub(super) fn numbers(targets: &Path) -> Result<Vec<u64>, PathError> {
    let entries = std::fs::read_dir(targets).map_err(PathError::at("list", targets))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// A bind mount of what is at `point`.
pub(super) fn bind(point: String) -> Mount {
    let options = vec!["rbind".to_owned()];
    Mount { r#type: "bind".to_owned(), source: point, options, ..Mount::default() }
}

/// A folder that is cleared again when it is dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Begun(Option<PathBuf>);

impl Begun {
    pub(super) fn make(folder: PathBuf) -> Result<Self, PathError> {
        std::fs::create_dir(&folder).map_err(PathError::at("create", &folder))?;
        Ok(Self(Some(folder)))
    }

    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take()
            && let Err(error) = clear(&folder)
        {
            tracing::warn!(error = %dhow_proto::error::chain(&error), "what was mounted so far stays");
        }
    }
}
