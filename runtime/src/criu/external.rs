//! What is not the container's own and so not part of an image: bind mounts, v1 cgroup mounts, masks, device nodes of
//! the host, and namespaces that the container only joined.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use dhow_linux::path::open_in;
use rustix::fs::{FileType, Mode, OFlags};

use super::CriuError;
use super::request::{Name, Options};
use crate::cgroup::Manager;
use crate::rootfs::{DEFAULT_DEVICES, Options as MountOptions, cgroup_mounts};
use crate::spec::{NamespaceKind, Spec};

/// Joined namespaces that CRIU leaves alone when it is told their inode, and gets back as a descriptor.
const KEPT: [(NamespaceKind, &str, &str); 2] =
    [(NamespaceKind::Network, "net", "extRootNetNS"), (NamespaceKind::Pid, "pid", "extRootPidNS")];

/// A mount from outside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct External {
    /// Where, as the container sees it.
    pub(super) inside: String,
    /// What of the host is there.
    pub(super) outside: String,
}

/// The mounts and nodes of `spec` that come from outside; relative sources are `bundle`'s.
pub(super) fn mounts(
    spec: &Spec,
    rootfs: &Path,
    bundle: &Path,
    cgroups: &Manager,
) -> Result<Vec<External>, CriuError> {
    let root = open(rootfs, OFlags::PATH | OFlags::DIRECTORY)?;
    let mut found = Vec::new();
    let mut add = |inside: &str, outside: &Path| {
        let inside = resolve(&root, rootfs, inside).to_string_lossy().into_owned();
        found.push(External { inside, outside: outside.to_string_lossy().into_owned() });
    };
    for mount in &spec.mounts {
        if MountOptions::parse(&mount.options).bind.is_some() {
            // CRIU looks the source up among mount points: it must be the path that those have.
            add(&mount.destination, &crate::rootfs::clean(&bundle.join(&mount.source).to_string_lossy()));
        } else if mount.fstype == "cgroup" && !cgroups.is_v2() && !spec.has(NamespaceKind::Cgroup) {
            for (name, source) in cgroup_mounts(cgroups) {
                add(&format!("{}/{name}", mount.destination), &source);
            }
        }
    }
    let defaults = DEFAULT_DEVICES.iter().map(|(name, ..)| format!("/dev/{name}"));
    for path in defaults.chain(spec.linux.devices.iter().map(|device| device.path.clone())) {
        add(&path, Path::new(&path));
    }
    Ok(found)
}

/// The masked files (folders lie behind a tmpfs, which an image has in it) of the container with this first process.
pub(super) fn masked_files(spec: &Spec, pid: i32) -> Result<Vec<&str>, CriuError> {
    let path = PathBuf::from(format!("/proc/{pid}/root"));
    let root = open(&path, OFlags::PATH | OFlags::DIRECTORY)?;
    let is_file = |path: &&str| {
        let opened = open_in(root.as_fd(), Path::new(path), OFlags::PATH);
        let stat = opened.ok().and_then(|opened| rustix::fs::fstat(&opened).ok());
        stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::Directory)
    };
    Ok(spec.linux.masked_paths.iter().map(String::as_str).filter(is_file).collect())
}

/// Where `inside` leads in the root, links followed as far as there is anything.
fn resolve(root: &OwnedFd, rootfs: &Path, inside: &str) -> PathBuf {
    let clean = crate::rootfs::clean(inside);
    for known in clean.ancestors() {
        let Ok(opened) = open_in(root.as_fd(), known, OFlags::PATH) else { continue };
        let shown = std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()));
        let Some(real) = shown.ok().and_then(|shown| Some(shown.strip_prefix(rootfs).ok()?.to_owned()))
        else {
            break;
        };
        let rest = clean.strip_prefix(known).unwrap_or_else(|_| Path::new(""));
        return Path::new("/").join(real).components().chain(rest.components()).collect();
    }
    clean
}

/// Dump: names the joined namespaces by their inodes.
pub(super) fn name_namespaces(spec: &Spec, options: &mut Options) -> Result<(), CriuError> {
    for (kind, name, key) in KEPT {
        if let Some(path) = joined(spec, kind) {
            let inode = std::fs::metadata(path).map_err(PathError::at("stat", path))?.ino();
            options.text(Name::External, &format!("{name}[{inode}]:{key}"));
        }
    }
    Ok(())
}

/// Restore: opens the joined namespaces that CRIU takes as descriptors (the first is `first` there), and names the
/// others.
pub(super) fn join_namespaces(
    spec: &Spec,
    first: i32,
    options: &mut Options,
) -> Result<Vec<OwnedFd>, CriuError> {
    let mut opened = Vec::new();
    for (number, (_, key, path)) in
        (first..).zip(KEPT.into_iter().filter_map(|(kind, _, key)| Some((kind, key, joined(spec, kind)?))))
    {
        let file = File::open(path)
            .map_err(|_| CriuError::Usage(format!("Requested network namespace {path} does not exist")))?;
        options.inherited(key, number);
        opened.push(file.into());
    }
    for kind in NamespaceKind::ALL {
        let kept = KEPT.iter().any(|(other, ..)| *other == kind);
        let Some(path) = joined(spec, kind).filter(|_| !kept) else { continue };
        let name = match kind {
            NamespaceKind::Cgroup => {
                return Err(CriuError::Usage("Do not know how to handle namespace NEWCGROUP".to_owned()));
            }
            NamespaceKind::Mount => "mnt",
            other => other.name(),
        };
        options.joined(name, path);
    }
    Ok(opened)
}

fn joined(spec: &Spec, kind: NamespaceKind) -> Option<&str> {
    spec.namespace(kind).map(|namespace| namespace.path.as_str()).filter(|path| !path.is_empty())
}

fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, CriuError> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| PathError::at("open", path)(error.into()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_where_the_mount_really_is() {
        let folder = tempfile::tempdir().expect("folder");
        let rootfs = folder.path().canonicalize().expect("path");
        std::fs::create_dir_all(rootfs.join("real/conf")).expect("mkdir");
        std::os::unix::fs::symlink("/real", rootfs.join("link")).expect("symlink");
        std::os::unix::fs::symlink("/../../etc", rootfs.join("out")).expect("symlink");
        let root = open(&rootfs, OFlags::PATH).expect("open");
        for (inside, expected) in [
            ("/link/conf", "/real/conf"),
            ("/link/none/deeper", "/real/none/deeper"),
            ("real/./conf/", "/real/conf"),
            ("/out/passwd", "/out/passwd"),
            ("/", "/"),
        ] {
            assert_eq!(resolve(&root, &rootfs, inside), Path::new(expected), "{inside}");
        }
    }

    #[test]
    fn joined_namespaces_are_named_by_their_inode() {
        let inode = std::fs::metadata("/proc/self/ns/net").expect("stat").ino();
        let spec: Spec = serde_json::from_value(serde_json::json!({
            "linux": {"namespaces": [{"type": "network", "path": "/proc/self/ns/net"}, {"type": "pid"}]},
        }))
        .expect("spec");
        let mut options = Options::default();
        name_namespaces(&spec, &mut options).expect("named");
        let mut expected = Options::default();
        expected.text(Name::External, &format!("net[{inode}]:extRootNetNS"));
        assert_eq!(options, expected);
    }
}
