//! Namespaces: made, joined, and what is set in them.

use std::fs;
use std::os::unix::fs::MetadataExt;

use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

fn add(spec: &mut Value, namespace: Value) {
    spec["linux"]["namespaces"].as_array_mut().expect("namespaces").push(namespace);
}

/// A user namespace whose root is an ordinary user of the host.
fn map_users(spec: &mut Value) {
    add(spec, json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    spec["linux"]["uidMappings"] = mapping.clone();
    spec["linux"]["gidMappings"] = mapping;
}

#[test]
fn clocks_are_shifted_in_a_time_namespace() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("time", "cut -d. -f1 /proc/uptime");
    add(&mut bundle.spec, json!({"type": "time"}));
    bundle.spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000, "nanosecs": 5}});
    bundle.save();
    let uptime: u64 = runtime.run(&runtime.id("time"), &bundle).ok().parse().expect("seconds");
    assert!(uptime >= 1_000_000_000, "{uptime}");
}

#[test]
fn the_domain_name_is_set() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("domain", "cat /proc/sys/kernel/domainname");
    bundle.spec["domainname"] = json!("example.test");
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("domain"), &bundle).ok(), "example.test");
}

#[test]
fn a_cgroup_namespace_begins_at_the_container() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("cgroup", "cut -d: -f3 /proc/self/cgroup | sort -u");
    add(&mut bundle.spec, json!({"type": "cgroup"}));
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("cgroup"), &bundle).ok(), "/");
}

/// What is made with a namespace belongs to the container's root: also the folder of its message queues.
#[test]
fn root_of_a_user_namespace_owns_its_message_queues() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("queues", "stat -c %u:%g /dev/mqueue");
    map_users(&mut bundle.spec);
    let queues = json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"});
    bundle.spec["mounts"].as_array_mut().expect("mounts").push(queues);
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("queues"), &bundle).ok(), "0:0");
}

#[test]
fn root_of_a_user_namespace_is_nobody_on_the_host() {
    let runtime = Runtime::new();
    let script = "id -u; awk '{print $2}' /proc/self/uid_map; touch /tmp/mine; hostname inner; hostname; \
                  stat -c %u /bin/busybox";
    let mut bundle = runtime.bundle("user", script);
    map_users(&mut bundle.spec);
    for set in ["bounding", "effective", "permitted"] {
        bundle.spec["process"]["capabilities"][set] = json!(["CAP_SYS_ADMIN"]);
    }
    bundle.save();
    let output = runtime.run(&runtime.id("user"), &bundle).ok();
    assert_eq!(output.lines().collect::<Vec<_>>(), ["0", "100000", "inner", "65534"]);
    assert_eq!(fs::metadata(bundle.rootfs("tmp/mine")).expect("made").uid(), 100_000);
}

#[test]
fn namespaces_of_a_container_are_joined_by_another() {
    let runtime = Runtime::new();
    for mapped in [false, true] {
        let id = runtime.id(if mapped { "mapped" } else { "plain" });
        let mut first = runtime.bundle(&id, "sleep 1000");
        if mapped {
            map_users(&mut first.spec);
        }
        first.save();
        runtime.create(&id, &first);
        let pid = runtime.state(&id)["pid"].to_string();
        let kinds = ["user", "net", "ipc", "uts", "pid"];
        let script = kinds.map(|kind| format!("readlink /proc/self/ns/{kind}")).join("; ");
        let mut second = runtime.bundle(&format!("{id}-2"), &script);
        let path = |kind: &str| format!("/proc/{pid}/ns/{kind}");
        second.spec["linux"]["namespaces"] = json!([
            {"type": "network", "path": path("net")}, {"type": "ipc", "path": path("ipc")},
            {"type": "uts", "path": path("uts")}, {"type": "pid", "path": path("pid")}, {"type": "mount"},
        ]);
        if mapped {
            add(&mut second.spec, json!({"type": "user", "path": path("user")}));
        }
        second.save();
        let output = runtime.run(&runtime.id("second"), &second).ok();
        let expected = kinds.map(|kind| fs::read_link(path(kind)).expect("link").display().to_string());
        assert_eq!(output.lines().collect::<Vec<_>>(), expected, "user namespace: {mapped}");
        runtime.call(&["delete", "--force", &id]).ok();
    }
}
