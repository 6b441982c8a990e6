//! What a container asks to be mounted: `-v`, `--mount`, `--volumes-from` and the image's volumes, as mount points.

use std::collections::BTreeMap;
use std::path::Path;

use dhow_engine_api::container::{ContainerConfig, HostConfig};
use dhow_engine_api::mount::{Mount, MountPoint};
use dhow_engine_api::volume::VolumeCreate;

use super::error::VolumeError;
use super::{Volumes, check_name};

const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
const CONSISTENCIES: [&str; 4] = ["consistent", "cached", "delegated", "default"];

/// A bind as it was written: `source:destination[:mode]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    /// A host's path when absolute, else a volume's name.
    pub(crate) source: String,
    /// Path in the container.
    pub(crate) destination: String,
    /// As it was written.
    pub(crate) mode: String,
    /// Whether it can be written to.
    pub(crate) writable: bool,
    /// Propagation, when it was said.
    pub(crate) propagation: String,
    /// Do not copy the image's files into a new volume.
    pub(crate) no_copy: bool,
}

/// Reads `source:destination[:mode]`.
pub(crate) fn parse_bind(text: &str) -> Result<Written, VolumeError> {
    let invalid = |why: &str| VolumeError::Invalid(format!("invalid volume specification: '{text}'{why}"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, destination, mode) = match parts.as_slice() {
        [source, destination] => (*source, *destination, ""),
        [source, destination, mode] => (*source, *destination, *mode),
        _ => return Err(invalid("")),
    };
    if source.is_empty() || destination.is_empty() {
        return Err(invalid(""));
    }
    let destination = check_destination(destination).map_err(|why| invalid(&format!(": {why}")))?;
    let mut written = Written {
        source: source.to_owned(),
        destination,
        mode: mode.to_owned(),
        writable: true,
        propagation: String::new(),
        no_copy: false,
    };
    for word in mode.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" | "readonly" => written.writable = false,
            "rw" | "z" | "Z" => {}
            "nocopy" => written.no_copy = true,
            word if PROPAGATIONS.contains(&word) => word.clone_into(&mut written.propagation),
            word if CONSISTENCIES.contains(&word) => {}
            _ => return Err(VolumeError::Invalid(format!("invalid mode: {mode}"))),
        }
    }
    if !source.starts_with('/') {
        check_name(source)?;
        if !written.propagation.is_empty() {
            return Err(VolumeError::Invalid(format!("invalid mode: {mode}")));
        }
    } else if written.no_copy {
        return Err(VolumeError::Invalid(format!("invalid mode: {mode}")));
    }
    Ok(written)
}

/// An absolute path without `..`, and not the root: cleaned.
fn check_destination(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("invalid mount path: '{path}' mount path must be absolute"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err("invalid specification: destination can't be '/'".to_owned());
    }
    Ok(format!("/{}", parts.join("/")))
}

impl Volumes {
    /// The mount points of a container that is being created; volumes that are missing are made.
    ///
    /// `others` gives the mount points of the container that `--volumes-from` names.
    pub(crate) fn prepare(
        &self,
        config: &ContainerConfig,
        host: &HostConfig,
        others: &dyn Fn(&str) -> Result<Vec<MountPoint>, VolumeError>,
    ) -> Result<Vec<MountPoint>, VolumeError> {
        let mut points: BTreeMap<String, MountPoint> = BTreeMap::new();
        for from in host.volumes_from.iter().flatten() {
            let (name, mode) = from.split_once(':').unwrap_or((from, ""));
            for mut point in others(name)? {
                point.rw = match mode {
                    "" | "rw" | "z" | "Z" => point.rw,
                    "ro" => false,
                    _ => return Err(VolumeError::Invalid(format!("invalid mode: {mode}"))),
                };
                mode.clone_into(&mut point.mode);
                points.insert(point.destination.clone(), point);
            }
        }
        let mut said: Vec<String> = Vec::new();
        for bind in host.binds.iter().flatten() {
            let written = parse_bind(bind)?;
            once(&mut said, &written.destination)?;
            points.insert(written.destination.clone(), self.bind(&written, &host.volume_driver)?);
        }
        for mount in host.mounts.iter().flatten() {
            let point = self.mount(mount)?;
            once(&mut said, &point.destination)?;
            points.insert(point.destination.clone(), point);
        }
        for destination in host.tmpfs.iter().flatten().map(|(path, _)| path) {
            check_destination(destination).map_err(VolumeError::Invalid)?;
            points.remove(destination);
        }
        for destination in config.volumes.iter().flatten().map(|(path, _)| path) {
            let destination = check_destination(destination).map_err(VolumeError::Invalid)?;
            if host.tmpfs.iter().flatten().any(|(path, _)| *path == destination)
                || points.contains_key(&destination)
            {
                continue;
            }
            let volume =
                self.create(VolumeCreate { driver: host.volume_driver.clone(), ..VolumeCreate::default() })?;
            points.insert(
                destination.clone(),
                volume_point(volume.name, volume.mountpoint, destination, "", true),
            );
        }
        Ok(points.into_values().collect())
    }

    fn bind(&self, written: &Written, driver: &str) -> Result<MountPoint, VolumeError> {
        if !written.source.starts_with('/') {
            let wanted = VolumeCreate {
                name: written.source.clone(),
                driver: driver.to_owned(),
                ..VolumeCreate::default()
            };
            let volume = self.create(wanted)?;
            let mode = if written.mode.is_empty() { "z" } else { &written.mode };
            return Ok(volume_point(
                volume.name,
                volume.mountpoint,
                written.destination.clone(),
                mode,
                written.writable,
            ));
        }
        let source = Path::new(&written.source);
        if !source.exists() {
            dhow_linux::file::make_folder(source, 0o755)?;
        }
        Ok(bind_point(
            &written.source,
            &written.destination,
            &written.mode,
            written.writable,
            &written.propagation,
        ))
    }

    fn mount(&self, mount: &Mount) -> Result<MountPoint, VolumeError> {
        let invalid = |why: String| {
            VolumeError::Invalid(format!("invalid mount config for type {:?}: {why}", mount.kind))
        };
        if mount.target.is_empty() {
            return Err(invalid("field Target must not be empty".to_owned()));
        }
        let destination = check_destination(&mount.target).map_err(invalid)?;
        match mount.kind.as_str() {
            "bind" => {
                if !mount.source.starts_with('/') {
                    let source = &mount.source;
                    return Err(invalid(format!(
                        "invalid mount path: '{source}' mount path must be absolute"
                    )));
                }
                let options = mount.bind_options.clone().unwrap_or_default();
                let source = Path::new(&mount.source);
                if !source.exists() {
                    if !options.create_mountpoint {
                        return Err(invalid(format!("bind source path does not exist: {}", mount.source)));
                    }
                    dhow_linux::file::make_folder(source, 0o755)?;
                }
                if !(options.propagation.is_empty() || PROPAGATIONS.contains(&options.propagation.as_str())) {
                    return Err(invalid(format!("invalid propagation mode: {}", options.propagation)));
                }
                Ok(bind_point(&mount.source, &destination, "", !mount.read_only, &options.propagation))
            }
            "volume" => self.mount_volume(mount, destination),
            "tmpfs" => {
                if !mount.source.is_empty() {
                    return Err(invalid("field Source must not be specified".to_owned()));
                }
                Ok(MountPoint {
                    kind: "tmpfs".to_owned(),
                    destination,
                    rw: !mount.read_only,
                    ..MountPoint::default()
                })
            }
            "image" | "cluster" | "npipe" => Err(invalid("mounts of this type are not supported".to_owned())),
            _ => Err(VolumeError::Invalid(format!(
                "invalid mount config for type {0:?}: mount type unknown: {0:?}",
                mount.kind
            ))),
        }
    }

    fn mount_volume(&self, mount: &Mount, destination: String) -> Result<MountPoint, VolumeError> {
        let options = mount.volume_options.clone().unwrap_or_default();
        let driver = options.driver_config.clone().unwrap_or_default();
        if !options.subpath.is_empty()
            && (options.subpath.starts_with('/') || options.subpath.split('/').any(|part| part == ".."))
        {
            return Err(VolumeError::Invalid(format!("invalid volume subpath: {:?}", options.subpath)));
        }
        let wanted = VolumeCreate {
            name: mount.source.clone(),
            driver: driver.name,
            driver_opts: driver.options,
            labels: options.labels,
        };
        let volume = self.create(wanted)?;
        Ok(volume_point(volume.name, volume.mountpoint, destination, "z", !mount.read_only))
    }
}

fn once(said: &mut Vec<String>, destination: &str) -> Result<(), VolumeError> {
    if said.iter().any(|other| other == destination) {
        return Err(VolumeError::Invalid(format!("Duplicate mount point: {destination}")));
    }
    said.push(destination.to_owned());
    Ok(())
}

fn bind_point(source: &str, destination: &str, mode: &str, rw: bool, propagation: &str) -> MountPoint {
    MountPoint {
        kind: "bind".to_owned(),
        source: source.to_owned(),
        destination: destination.to_owned(),
        mode: mode.to_owned(),
        propagation: if propagation.is_empty() { "rprivate".to_owned() } else { propagation.to_owned() },
        rw,
        ..MountPoint::default()
    }
}

fn volume_point(name: String, source: String, destination: String, mode: &str, rw: bool) -> MountPoint {
    MountPoint {
        kind: "volume".to_owned(),
        driver: super::DRIVER.to_owned(),
        mode: mode.to_owned(),
        propagation: String::new(),
        name,
        source,
        destination,
        rw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read() {
        let written = parse_bind("/src:/a//b/../c:ro,rslave").expect("a bind");
        assert_eq!(
            (written.destination.as_str(), written.writable, written.propagation.as_str()),
            ("/a/c", false, "rslave")
        );
        assert!(parse_bind("data:/d:nocopy").expect("a volume").no_copy);
        for wrong in
            ["", "a", "/x:", ":/x", "/x:rel", "/x:/", "/x:/y:what", "/x:/y:ro:z", "d/e:/x", "data:/x:rshared"]
        {
            assert!(parse_bind(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn points_come_from_everywhere_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let volumes = Volumes::open(folder.path().join("volumes")).expect("opens");
        let config = ContainerConfig {
            volumes: Some(
                ["/data", "/cache", "/tmp"].map(|path| (path.to_owned(), Default::default())).into(),
            ),
            ..ContainerConfig::default()
        };
        let host = HostConfig {
            binds: Some(vec!["named:/data".into(), format!("{}/new:/host:ro", folder.path().display())]),
            tmpfs: Some([("/tmp".to_owned(), String::new())].into()),
            ..HostConfig::default()
        };
        let nobody = |name: &str| Err(VolumeError::Invalid(name.to_owned()));
        let points = volumes.prepare(&config, &host, &nobody).expect("prepares");
        let shown: Vec<_> =
            points.iter().map(|point| (point.destination.as_str(), point.kind.as_str(), point.rw)).collect();
        assert_eq!(shown, [("/cache", "volume", true), ("/data", "volume", true), ("/host", "bind", false)]);
        assert_eq!(points[1].name, "named");
        assert!(folder.path().join("new").is_dir(), "docker makes what -v names");

        let twice =
            HostConfig { binds: Some(vec!["one:/d".into(), "two:/d".into()]), ..HostConfig::default() };
        let error = volumes.prepare(&ContainerConfig::default(), &twice, &nobody).expect_err("twice");
        assert_eq!(error.to_string(), "Duplicate mount point: /d");
    }
}
