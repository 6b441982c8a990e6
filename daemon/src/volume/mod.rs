//! Volumes of the local driver: folders that outlive containers.
//!
//! ```text
//! <data-root>/volumes/NAME/volume.json    {"version": 1, …}: what it is, written last
//!                          _data          what it holds
//! ```
//! Owns: those folders, and what the user's `-v`, `--mount`, `--tmpfs` and `--volumes-from` mean ([`request`]). Does
//! not own: the mounts of a container (the runtime makes them); a volume whose options name a device is mounted at
//! its `_data` when a container first needs it, until it is removed.

mod copy_up;
mod device;
mod error;
pub(crate) mod plan;
pub(crate) mod request;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dhow_engine_api::container::HostConfig;
use dhow_engine_api::mount::{Mount, MountPoint};
use dhow_engine_api::volume::{Volume, VolumeCreate, VolumePruneReport, VolumeUsage};
use dhow_linux::file::{self, Durability, PathError};
use serde::{Deserialize, Serialize};

pub(crate) use self::error::VolumeError;
use crate::http::filter::Filters;

const VERSION: u32 = 1;
const LIMIT: u64 = 1 << 20;
const DOCUMENT: &str = "volume.json";
const DATA: &str = "_data";
const DRIVER: &str = "local";
/// Label of volumes that nobody named.
pub(crate) const ANONYMOUS: &str = "com.docker.volume.anonymous";
/// Options of the local driver.
const OPTIONS: [&str; 3] = ["type", "o", "device"];

/// A volume on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Document {
    version: u32,
    name: String,
    created: String,
    labels: Option<BTreeMap<String, String>>,
    options: Option<BTreeMap<String, String>>,
}

/// The volumes of this daemon.
#[derive(Debug)]
pub(crate) struct Volumes {
    folder: PathBuf,
    /// Held while a volume is made or removed.
    changing: Mutex<()>,
}

/// Who mounts which volume, for `remove`, `prune` and the `dangling` filter.
pub(crate) trait Users {
    /// IDs of the containers that have the volume.
    fn of(&self, volume: &str) -> Vec<String>;
}

impl<F: Fn(&str) -> Vec<String>> Users for F {
    fn of(&self, volume: &str) -> Vec<String> {
        self(volume)
    }
}

impl Volumes {
    /// The volumes below `folder`.
    pub(crate) fn open(folder: PathBuf) -> Result<Self, PathError> {
        file::make_folder(&folder, 0o711)?;
        Ok(Self { folder, changing: Mutex::default() })
    }

    /// Makes a volume; one that is there already comes back as it is.
    pub(crate) fn create(&self, wanted: VolumeCreate) -> Result<Volume, VolumeError> {
        if !matches!(wanted.driver.as_str(), "" | DRIVER) {
            return Err(VolumeError::Driver(wanted.driver));
        }
        if let Some(option) = wanted
            .driver_opts
            .iter()
            .flatten()
            .map(|(name, _)| name)
            .find(|name| !OPTIONS.contains(&name.as_str()))
        {
            return Err(VolumeError::Option(option.clone()));
        }
        let mut labels = wanted.labels;
        let name = if wanted.name.is_empty() {
            labels.get_or_insert_default().insert(ANONYMOUS.to_owned(), String::new());
            crate::identifier::random().map_err(|error| VolumeError::Random(error.to_string()))?
        } else {
            wanted.name
        };
        check_name(&name)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = self.read(&name)? {
            let options = wanted.driver_opts.filter(|options| !options.is_empty());
            if options.is_some() && options != found.options {
                return Err(VolumeError::Differs(name));
            }
            return Ok(self.document(found));
        }
        let options = wanted.driver_opts.filter(|options| !options.is_empty());
        let document = Document { version: VERSION, created: crate::time::now(), name, labels, options };
        device::check(document.options.as_ref())?;
        file::make_folder(&self.folder.join(&document.name), 0o701)?;
        // The umask of the daemon must not narrow what the image or the user decides later.
        file::make_folder(&self.data(&document.name), 0o755)?;
        let bytes =
            serde_json::to_vec_pretty(&document).map_err(|error| VolumeError::Random(error.to_string()))?;
        file::replace(&self.folder.join(&document.name).join(DOCUMENT), &bytes, 0o600, Durability::Disk)?;
        Ok(self.document(document))
    }

    /// The volume of that name.
    pub(crate) fn find(&self, name: &str) -> Result<Volume, VolumeError> {
        let found = if check_name(name).is_ok() { self.read(name)? } else { None };
        found.map(|document| self.document(document)).ok_or_else(|| VolumeError::NotFound(name.to_owned()))
    }

    /// The volumes that pass `filters` (`name`, `label`, `driver`, `dangling`), by name.
    pub(crate) fn list(
        &self,
        filters: &Filters,
        dangling: Option<bool>,
        users: &dyn Users,
    ) -> Result<Vec<Volume>, VolumeError> {
        let mut volumes = Vec::new();
        let folder = std::fs::read_dir(&self.folder).map_err(PathError::at("list", &self.folder))?;
        for entry in folder.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(found) = self.read(&name)? else { continue };
            let labels = found.labels.clone().unwrap_or_default();
            let passes = filters.any("name", |wanted| name.contains(wanted.as_str()))
                && filters.exact("driver", DRIVER)
                && filters.labels("label", &labels)
                && filters.no_labels(&labels)
                && dangling.is_none_or(|dangling| dangling == users.of(&name).is_empty());
            if passes {
                volumes.push(self.document(found));
            }
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Removes a volume that no container has.
    pub(crate) fn remove(&self, name: &str, force: bool, users: &dyn Users) -> Result<(), VolumeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.find(name) {
            Err(VolumeError::NotFound(_)) if force => return Ok(()),
            found => drop(found?),
        }
        let using = users.of(name);
        if !using.is_empty() {
            return Err(VolumeError::InUse { name: name.to_owned(), users: using.join(", ") });
        }
        device::unmount(&self.data(name))?;
        // Renamed first: what is half removed after a crash is no volume.
        let folder = self.folder.join(name);
        let trash = self.folder.join(format!(".trash-{name}-{}", std::process::id()));
        std::fs::rename(&folder, &trash).map_err(PathError::at("move away", &folder))?;
        Ok(std::fs::remove_dir_all(&trash).map_err(PathError::at("remove", &trash))?)
    }

    /// All volumes with what each holds. Reads every folder of each: it may take a while.
    pub(crate) fn usage(&self, users: &dyn Users) -> Result<Vec<Volume>, VolumeError> {
        let mut volumes = self.list(&Filters::default(), None, users)?;
        for volume in &mut volumes {
            volume.usage_data = Some(VolumeUsage {
                ref_count: i64::try_from(users.of(&volume.name).len()).unwrap_or(i64::MAX),
                size: i64::try_from(size_of(Path::new(&volume.mountpoint))).unwrap_or(i64::MAX),
            });
        }
        Ok(volumes)
    }

    /// Removes volumes that no container has: those without a name, or all.
    pub(crate) fn prune(
        &self,
        filters: &Filters,
        all: bool,
        users: &dyn Users,
    ) -> Result<VolumePruneReport, VolumeError> {
        let mut report = VolumePruneReport::default();
        for volume in self.list(filters, Some(true), users)? {
            let anonymous = volume.labels.as_ref().is_some_and(|labels| labels.contains_key(ANONYMOUS));
            if !(all || anonymous) {
                continue;
            }
            let size = size_of(Path::new(&volume.mountpoint));
            self.remove(&volume.name, false, users)?;
            report.space_reclaimed += size;
            report.volumes_deleted.get_or_insert_default().push(volume.name);
        }
        Ok(report)
    }

    /// Removes the anonymous volumes among a container's mounts that no other container has.
    pub(crate) fn remove_anonymous(&self, mounts: &[MountPoint], users: &dyn Users) {
        for mount in mounts.iter().filter(|mount| mount.kind == "volume") {
            let anonymous = self.find(&mount.name).is_ok_and(|volume| {
                volume.labels.as_ref().is_some_and(|labels| labels.contains_key(ANONYMOUS))
            });
            if anonymous
                && let Err(error) = self.remove(&mount.name, true, users)
                && !matches!(error, VolumeError::InUse { .. })
            {
                let error = dhow_proto::error::chain(&error);
                tracing::warn!(volume = mount.name, error, "cannot remove an anonymous volume");
            }
        }
    }

    /// Makes a volume ready for a container that starts: mounts the device that its options name.
    pub(crate) fn activate(&self, name: &str) -> Result<(), VolumeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.read(name)?.ok_or_else(|| VolumeError::NotFound(name.to_owned()))?;
        device::mount(found.options.as_ref(), &self.data(name))
    }

    /// Fills the new volumes among a container's mounts with what its image has there; `layers` are the folders of
    /// its root file system, topmost first.
    pub(crate) fn fill(
        &self,
        host: &HostConfig,
        mounts: &[MountPoint],
        layers: &[PathBuf],
    ) -> Result<(), VolumeError> {
        for mount in mounts.iter().filter(|mount| mount.kind == "volume" && !keeps_empty(host, mount)) {
            self.activate(&mount.name)?;
            copy_up::copy_up(layers, &mount.destination, &self.data(&mount.name))?;
        }
        Ok(())
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.join(name).join(DATA)
    }

    fn read(&self, name: &str) -> Result<Option<Document>, VolumeError> {
        let path = self.folder.join(name).join(DOCUMENT);
        let bytes = match file::read_limited(&path, LIMIT) {
            Err(error)
                if error.is_not_found() || error.source.kind() == std::io::ErrorKind::NotADirectory =>
            {
                return Ok(None);
            }
            bytes => bytes?,
        };
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|source| VolumeError::Document { path: path.clone(), source })?;
        if document.version > VERSION {
            return Err(VolumeError::Version { path, version: document.version });
        }
        Ok(Some(document))
    }

    fn document(&self, document: Document) -> Volume {
        Volume {
            mountpoint: self.data(&document.name).to_string_lossy().into_owned(),
            created_at: document.created,
            driver: DRIVER.to_owned(),
            labels: document.labels,
            name: document.name,
            options: document.options,
            scope: "local".to_owned(),
            usage_data: None,
        }
    }
}

/// Whether the user asked that the image's files are not copied.
fn keeps_empty(host: &HostConfig, point: &MountPoint) -> bool {
    let asked = |mount: &Mount| {
        mount.target.trim_end_matches('/') == point.destination
            && mount
                .volume_options
                .as_ref()
                .is_some_and(|options| options.no_copy || !options.subpath.is_empty())
    };
    point.mode.split(',').any(|word| word == "nocopy") || host.mounts.iter().flatten().any(asked)
}

/// Two characters at least, and none that could lead elsewhere.
fn check_name(name: &str) -> Result<(), VolumeError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric();
    let rest = |byte: u8| word(byte) || matches!(byte, b'_' | b'.' | b'-');
    let valid = name.len() >= 2
        && name.len() <= 255
        && name.bytes().next().is_some_and(word)
        && name.bytes().all(rest);
    if valid { Ok(()) } else { Err(VolumeError::Name(name.to_owned())) }
}

/// Bytes of all files below `folder`; what cannot be read counts nothing.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes() -> (tempfile::TempDir, Volumes) {
        let folder = tempfile::tempdir().expect("a folder");
        let volumes = Volumes::open(folder.path().join("volumes")).expect("opens");
        (folder, volumes)
    }

    fn named(name: &str) -> VolumeCreate {
        VolumeCreate { name: name.into(), ..VolumeCreate::default() }
    }

    fn nobody(_: &str) -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn a_volume_lives_from_create_to_remove() {
        let (_folder, volumes) = volumes();
        let made = volumes.create(named("data")).expect("makes");
        std::fs::write(Path::new(&made.mountpoint).join("file"), "12345").expect("writes");
        assert_eq!(volumes.create(named("data")).expect("finds").created_at, made.created_at);
        let used = |_: &str| vec!["abc".to_owned()];
        let error = volumes.remove("data", true, &used).expect_err("in use");
        assert_eq!(error.to_string(), "remove data: volume is in use - [abc]");
        volumes.remove("data", false, &nobody).expect("removes");
        assert!(matches!(volumes.find("data"), Err(VolumeError::NotFound(_))));
        assert!(volumes.remove("data", false, &nobody).is_err());
        volumes.remove("data", true, &nobody).expect("forced");
        assert_eq!(std::fs::read_dir(&volumes.folder).expect("list").count(), 0);
    }

    #[test]
    fn pruning_takes_what_nobody_named() {
        let (_folder, volumes) = volumes();
        volumes.create(named("kept")).expect("makes");
        let anonymous = volumes.create(VolumeCreate::default()).expect("makes");
        let report = volumes.prune(&Filters::default(), false, &nobody).expect("prunes");
        assert_eq!(report.volumes_deleted, Some(vec![anonymous.name]));
        let report = volumes.prune(&Filters::default(), true, &nobody).expect("prunes");
        assert_eq!(report.volumes_deleted, Some(vec!["kept".to_owned()]));
    }

    #[test]
    fn names_lead_nowhere_else() {
        let (_folder, volumes) = volumes();
        for name in ["a", "../x", "a/b", ".hidden", "-a", "ab c"] {
            assert!(matches!(volumes.create(named(name)), Err(VolumeError::Name(_))), "{name}");
            assert!(matches!(volumes.find(name), Err(VolumeError::NotFound(_))), "{name}");
        }
        let foreign = VolumeCreate { driver: "nfs".into(), ..VolumeCreate::default() };
        assert!(matches!(volumes.create(foreign), Err(VolumeError::Driver(_))));
    }
}
