//! A container whose creation was killed: a folder without a state document, and maybe cgroups.
//!
//! What is needed to find those is noted in the target of a symbolic link, which is made in one call: no half-written
//! note can exist.

use std::io;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;

use super::destroy::{remove_cgroup, remove_folder};
use super::{ContainerError, ContainerId};
use crate::cgroup::Manager;

const NAME: &str = "cgroup";
const CLASS: &str = "resctrl";

/// Notes which cgroup is about to be made.
pub(crate) fn note_cgroup(folder: &Path, cgroups_path: &str) -> Result<(), ContainerError> {
    if cgroups_path.is_empty() {
        return Ok(());
    }
    let link = folder.join(NAME);
    std::os::unix::fs::symlink(cgroups_path, &link)
        .map_err(PathError::at("symlink", &link))
        .map_err(Into::into)
}

/// Notes which class of service is about to be made.
pub(crate) fn note_class(folder: &Path, path: &Path) -> Result<(), ContainerError> {
    let link = folder.join(CLASS);
    std::os::unix::fs::symlink(path, &link).map_err(PathError::at("symlink", &link)).map_err(Into::into)
}

/// Removes what a killed `create` left of container `id`.
///
/// Its first process, when there was one, has ended by itself or is about to: it waits for the runtime.
pub(crate) fn remove(root: &Path, id: &ContainerId) -> Result<(), ContainerError> {
    let folder = root.join(id.as_str());
    let noted = match std::fs::read_link(folder.join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => PathBuf::new(),
        other => other.map_err(PathError::at("readlink", &folder))?,
    };
    if folder.is_dir() {
        let cgroups = Manager::new(Some(&noted), id.as_str())?;
        if cgroups.exists() {
            cgroups.kill_all()?;
            remove_cgroup(&cgroups)?;
        }
    }
    if let Ok(class) = std::fs::read_link(folder.join(CLASS)) {
        // The kernel removes the folder of a class with everything in it; of anything else only an empty one.
        drop(std::fs::remove_dir(class));
    }
    remove_folder(&folder).map_err(Into::into)
}
