//! Layouts of real hosts, and where a container's directories are on them.

use std::path::{Path, PathBuf};

use super::layout::{Kind, Layout, clean, parse_own};
use super::place;

const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 31 0:32 / /srv/chroot/sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
";
const HYBRID_OWN: &str = "4:memory:/agent/x\n2:cpu,cpuacct:/\n5:devices:/\n9:name=systemd:/\n0::/\n";
const V2_MOUNTS: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const V2_OWN: &str = "0::/user.slice/user-0.slice/session-1.scope\n";

fn paths(layout: &Layout, inner: &str) -> Vec<String> {
    let placed = place(layout, &clean(Path::new(inner))).expect("placed");
    placed.iter().map(|hierarchy| hierarchy.path.display().to_string()).collect()
}

#[test]
fn a_hybrid_host_has_every_hierarchy_once() {
    let layout = Layout::parse(HYBRID_MOUNTS, HYBRID_OWN);
    assert_eq!(layout.v1.len(), 4);
    assert_eq!(layout.v1[0].controllers, ["cpu", "cpuacct"]);
    assert_eq!(layout.v1[3].controllers, ["name=systemd"]);
    assert_eq!(
        layout.unified.as_ref().map(|mount| mount.point.as_path()),
        Some(Path::new("/sys/fs/cgroup/unified"))
    );
    assert_eq!(
        paths(&layout, "/docker/abc"),
        ["cpu,cpuacct", "memory", "devices", "systemd", "unified"]
            .map(|mount| format!("/sys/fs/cgroup/{mount}/docker/abc"))
    );
}

#[test]
fn hierarchies_at_their_usual_places_need_no_table() {
    let usual = |own: &str, there: &[(&str, Kind)]| {
        let is_whole =
            |place: &Path, kind| there.iter().any(|one| (Path::new(one.0), one.1) == (place, kind));
        Layout::usual(own, is_whole)
    };
    let v1 = ["cpu,cpuacct", "memory", "devices", "systemd"].map(|name| format!("/sys/fs/cgroup/{name}"));
    let mut there: Vec<_> = v1.iter().map(|place| (place.as_str(), Kind::V1)).collect();
    assert_eq!(usual(HYBRID_OWN, &there), None, "cgroup2 may be anywhere");
    there.push(("/sys/fs/cgroup/unified", Kind::V2));
    let mut found = usual(HYBRID_OWN, &there).expect("usual");
    let mut expected = Layout::parse(HYBRID_MOUNTS, HYBRID_OWN);
    // The order tells nothing.
    found.v1.sort_by(|one, other| one.point.cmp(&other.point));
    expected.v1.sort_by(|one, other| one.point.cmp(&other.point));
    assert_eq!(found, expected);
    assert_eq!(usual(HYBRID_OWN, &there[1..]), None);
    assert_eq!(usual(V2_OWN, &[("/sys/fs/cgroup", Kind::V2)]), Some(Layout::parse(V2_MOUNTS, V2_OWN)));
    assert_eq!(usual("7:madeup:/\n0::/\n", &there).map(|layout| layout.v1.len()), Some(0));
}

#[test]
fn relative_paths_start_at_the_callers_own_cgroup() {
    let hybrid = Layout::parse(HYBRID_MOUNTS, HYBRID_OWN);
    assert_eq!(paths(&hybrid, "abc")[1], "/sys/fs/cgroup/memory/agent/x/abc");
    let v2 = Layout::parse(V2_MOUNTS, V2_OWN);
    assert_eq!(paths(&v2, "abc"), ["/sys/fs/cgroup/user.slice/user-0.slice/abc"]);
    assert_eq!(paths(&v2, "/abc"), ["/sys/fs/cgroup/abc"]);
    assert_eq!(paths(&Layout::parse(V2_MOUNTS, "0::/\n"), "abc"), ["/sys/fs/cgroup/abc"]);
}

#[test]
fn a_view_from_inside_a_container_is_relative_to_its_root() {
    let mounts = "7 6 0:32 /docker/me /sys/fs/cgroup/devices ro - cgroup cgroup rw,devices\n";
    let layout = Layout::parse(mounts, "5:devices:/docker/me\n");
    assert_eq!(paths(&layout, "abc"), ["/sys/fs/cgroup/devices/abc"]);
}

#[test]
fn no_path_leaves_the_hierarchy() {
    let v2 = Layout::parse(V2_MOUNTS, V2_OWN);
    assert_eq!(paths(&v2, "/../../etc//x/./y"), ["/sys/fs/cgroup/etc/x/y"]);
    assert_eq!(paths(&v2, "../../../x"), ["/sys/fs/cgroup/user.slice/user-0.slice/x"]);
}

#[test]
fn without_the_devices_controller_v1_is_refused() {
    let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    assert!(place(&Layout::parse(mounts, ""), Path::new("/x")).is_err());
}

#[test]
fn mount_points_with_blanks_are_read() {
    let mounts = "35 31 0:32 / /a\\040b\\134 rw - cgroup2 cgroup2 rw\n";
    let layout = Layout::parse(mounts, "");
    assert_eq!(layout.unified.map(|mount| mount.point), Some(PathBuf::from("/a b\\")));
}

#[test]
fn own_cgroups_are_found_by_controller() {
    let own = parse_own(HYBRID_OWN);
    assert_eq!(own["cpuacct"], PathBuf::from("/"));
    assert_eq!(own["memory"], PathBuf::from("/agent/x"));
    assert_eq!(own[""], PathBuf::from("/"));
}
