//! Mount points as mounts of a spec: the details that `inspect` does not show come from the request again.
//!
//! Pure, but for folders of a volume ([`beneath`]): whoever wrote the volume may have put links in the way.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use dhow_engine_api::container::HostConfig;
use dhow_engine_api::mount::{Mount, MountPoint, TmpfsOptions};

use dhow_linux::file::PathError;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::error::VolumeError;
use crate::container::spec::mount::{Content, MountPlan, Writable};

/// What Docker gives every tmpfs beside the user's options.
const TMPFS: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];

/// The mounts of a container that starts.
///
/// # Errors
/// When a volume has no such folder as is asked for.
pub(crate) fn plans(host: &HostConfig, points: &[MountPoint]) -> Result<Vec<MountPlan>, VolumeError> {
    let asked = |destination: &str| {
        let mut mounts = host.mounts.iter().flatten();
        mounts.find(|mount| mount.target.trim_end_matches('/') == destination)
    };
    let planned = points.iter().map(|point| plan(point, asked(&point.destination)));
    let mut plans: Vec<MountPlan> = planned.collect::<Result<_, _>>()?;
    for (destination, options) in host.tmpfs.iter().flatten() {
        plans.push(MountPlan {
            destination: destination.clone(),
            content: Content::Tmpfs(merge(TMPFS.iter().copied().chain(options.split(',')))),
        });
    }
    Ok(plans)
}

fn plan(point: &MountPoint, asked: Option<&Mount>) -> Result<MountPlan, VolumeError> {
    let destination = point.destination.clone();
    if point.kind == "tmpfs" {
        let options = asked.and_then(|mount| mount.tmpfs_options.clone()).unwrap_or_default();
        return Ok(MountPlan { destination, content: Content::Tmpfs(tmpfs(&options, point.rw)) });
    }
    let bind = asked.and_then(|mount| mount.bind_options.clone()).unwrap_or_default();
    let subpath =
        asked.and_then(|mount| mount.volume_options.as_ref()).map_or("", |options| &options.subpath);
    let writable = match (point.rw, bind.read_only_non_recursive, bind.read_only_force_recursive) {
        (true, ..) => Writable::Yes,
        (false, true, _) => Writable::NotTheTop,
        (false, false, true) => Writable::NotAtAll,
        (false, false, false) => Writable::No,
    };
    let source = Path::new(&point.source);
    let content = Content::Bind {
        source: if subpath.is_empty() { source.to_owned() } else { beneath(source, subpath)? },
        recursive: !bind.non_recursive,
        writable,
        propagation: point.propagation.clone(),
    };
    Ok(MountPlan { destination, content })
}

/// Where `subpath` of a volume really is: links in it lead no further than the volume.
fn beneath(volume: &Path, subpath: &str) -> Result<PathBuf, VolumeError> {
    let fail =
        |error: rustix::io::Errno| PathError::at("open folder of volume", volume.join(subpath))(error.into());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = open(volume, flags | OFlags::DIRECTORY, Mode::empty()).map_err(fail)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(&root, subpath, flags, Mode::empty(), resolve).map_err(fail)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    Ok(std::fs::read_link(&path).map_err(PathError::at("read", &path))?)
}

fn tmpfs(options: &TmpfsOptions, rw: bool) -> Vec<String> {
    let mut words: Vec<String> = TMPFS.map(str::to_owned).to_vec();
    if !rw {
        words.push("ro".to_owned());
    }
    if options.mode != 0 {
        words.push(format!("mode={:o}", options.mode));
    }
    if options.size_bytes != 0 {
        words.push(format!("size={}", options.size_bytes));
    }
    words.extend(options.options.iter().flatten().map(|pair| pair.join("=")));
    merge(words.iter().map(String::as_str))
}

/// The last word on each subject counts: `exec` takes `noexec` back, `size=2` comes after `size=1`.
fn merge<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut merged: Vec<String> = Vec::new();
    for word in words.map(str::trim).filter(|word| !word.is_empty()) {
        let subject = subject(word);
        merged.retain(|old| self::subject(old) != subject);
        merged.push(word.to_owned());
    }
    merged
}

fn subject(word: &str) -> &str {
    let name = word.split('=').next().unwrap_or(word);
    match name {
        "ro" | "rw" => "rw",
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => "propagation",
        name => name.strip_prefix("no").unwrap_or(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let host = HostConfig {
            tmpfs: Some([("/t".to_owned(), "exec,size=1m,size=2m".to_owned())].into()),
            ..HostConfig::default()
        };
        let plans = plans(&host, &[]).expect("plans");
        let Content::Tmpfs(options) = &plans[0].content else { panic!("a tmpfs") };
        assert_eq!(options, &["nosuid", "nodev", "rprivate", "exec", "size=2m"]);
    }

    #[test]
    fn details_of_the_request_come_back() {
        let options = dhow_engine_api::mount::VolumeOptions { subpath: "in".into(), ..Default::default() };
        let mount = Mount {
            kind: "volume".into(),
            target: "/v/".into(),
            volume_options: Some(options),
            ..Mount::default()
        };
        let host = HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() };
        let volume = tempfile::tempdir().expect("a folder");
        let inner = volume.path().join("etc");
        std::fs::create_dir(&inner).expect("a folder");
        // It leads to the volume's own /etc, not to the host's.
        std::os::unix::fs::symlink("/etc", volume.path().join("in")).expect("a link");
        let point = MountPoint {
            kind: "volume".into(),
            source: volume.path().to_string_lossy().into_owned(),
            destination: "/v".into(),
            ..MountPoint::default()
        };
        let Content::Bind { source, writable, recursive, .. } =
            &plans(&host, &[point]).expect("plans")[0].content
        else {
            panic!("a bind")
        };
        assert_eq!(*source, inner);
        assert_eq!((*writable, *recursive), (Writable::No, true));
    }
}
