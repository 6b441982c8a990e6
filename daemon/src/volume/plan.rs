//! Mount points as mounts of a spec: the details that `inspect` does not show come from the request again. Pure.

use dhow_engine_api::container::HostConfig;
use dhow_engine_api::mount::{Mount, MountPoint, TmpfsOptions};

use crate::container::spec::mount::{Content, MountPlan, Writable};

/// What Docker gives every tmpfs beside the user's options.
const TMPFS: [&str; 4] = ["noexec", "nosuid", "nodev", "rprivate"];

/// The mounts of a container that starts.
pub(crate) fn plans(host: &HostConfig, points: &[MountPoint]) -> Vec<MountPlan> {
    let asked = |destination: &str| {
        let mut mounts = host.mounts.iter().flatten();
        mounts.find(|mount| mount.target.trim_end_matches('/') == destination)
    };
    let mut plans: Vec<MountPlan> =
        points.iter().map(|point| plan(point, asked(&point.destination))).collect();
    for (destination, options) in host.tmpfs.iter().flatten() {
        plans.push(MountPlan {
            destination: destination.clone(),
            content: Content::Tmpfs(merge(TMPFS.iter().copied().chain(options.split(',')))),
        });
    }
    plans
}

fn plan(point: &MountPoint, asked: Option<&Mount>) -> MountPlan {
    let destination = point.destination.clone();
    if point.kind == "tmpfs" {
        let options = asked.and_then(|mount| mount.tmpfs_options.clone()).unwrap_or_default();
        return MountPlan { destination, content: Content::Tmpfs(tmpfs(&options, point.rw)) };
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
    let source = std::path::Path::new(&point.source);
    let content = Content::Bind {
        source: if subpath.is_empty() { source.to_owned() } else { source.join(subpath) },
        recursive: !bind.non_recursive,
        writable,
        propagation: point.propagation.clone(),
    };
    MountPlan { destination, content }
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
        let plans = plans(&host, &[]);
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
        let point = MountPoint {
            kind: "volume".into(),
            source: "/vol/_data".into(),
            destination: "/v".into(),
            ..MountPoint::default()
        };
        let Content::Bind { source, writable, recursive, .. } = &plans(&host, &[point])[0].content else {
            panic!("a bind")
        };
        assert_eq!(source, std::path::Path::new("/vol/_data/in"));
        assert_eq!((*writable, *recursive), (Writable::No, true));
    }
}
