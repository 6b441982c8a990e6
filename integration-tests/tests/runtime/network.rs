//! `linux.netDevices`: devices of the host in a container. Each test has a host's network of its own, in which the
//! devices are made.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use dhow_integration_tests::process::{Done, run};
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

/// What a host does before and after a container, with `eth7` as the device.
const DEVICE: &str = "ip link add eth7 address 02:00:00:00:00:07 mtu 1789 type veth peer name eth8 &&
    ip addr add 198.51.100.7/24 dev eth7 && ip addr add 127.0.0.33/8 scope host dev eth7 &&
    ip addr add 2001:db8::7/64 dev eth7 nodad && ip link set eth7 up";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Runs a container with `devices` in a network namespace with [`DEVICE`]; what `after` prints comes last.
fn run_with(runtime: &Runtime, devices: Value, script: &str, after: &str) -> Done {
    let mut bundle = runtime.bundle(&format!("net{}", COUNT.fetch_add(1, Ordering::Relaxed)), script);
    bundle.spec["linux"]["netDevices"] = devices;
    bundle.save();
    let folder = bundle.folder().to_str().expect("UTF-8").to_owned();
    let command = runtime.command(&["run", "--bundle", &folder, &runtime.id("net")]);
    let script = format!("{DEVICE} && \"$@\"; status=$?; {after}\nexit $status");
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--net", "sh", "-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    run(&mut wrapped)
}

#[test]
fn a_device_moves_with_its_name_and_lasting_addresses() {
    let runtime = Runtime::new();
    let script = "ip addr show dev inner; ls /sys/class/net";
    let done = run_with(&runtime, json!({"eth7": {"name": "inner"}}), script, "ls /sys/class/net");
    let output = done.ok();
    for part in ["mtu 1789", "02:00:00:00:00:07", "198.51.100.7/24", "2001:db8::7/64", "UP"] {
        assert!(output.contains(part), "{part} in {output}");
    }
    assert!(!output.contains("127.0.0.33"), "an address of this host only: {output}");
    assert!(!output.contains("eth7"), "neither name is left behind: {output}");
}

#[test]
fn a_name_can_be_a_pattern() {
    let runtime = Runtime::new();
    let devices = json!({"eth7": {"name": "net%d"}, "eth8": {"name": "net%d"}});
    let output = run_with(&runtime, devices, "ls /sys/class/net; ip addr show dev net0", "").ok();
    assert!(output.contains("net0") && output.contains("net1") && !output.contains("eth7"), "{output}");
    assert!(output.contains("198.51.100.7/24"), "{output}");
}

#[test]
fn a_device_keeps_its_name_in_a_namespace_that_it_outlives() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("joined", "ip addr show dev eth7");
    bundle.spec["linux"]["netDevices"] = json!({"eth7": {}});
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.conf.eth7.forwarding": "1"});
    bundle.spec["linux"]["namespaces"][1]["path"] = json!("/proc/self/fd/9");
    let folder = bundle.folder().to_str().expect("UTF-8").to_owned();
    let command = runtime.command(&["run", "--bundle", &folder, &runtime.id("joined")]);
    // The second namespace is held by a sleeper; the runtime finds it by its path in /proc.
    let script = format!(
        "{DEVICE}; unshare --net sleep 1000 & sleeper=$!
        until [ \"$(readlink /proc/$sleeper/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do :; done
        sed -i s,/proc/self/fd/9,/proc/$sleeper/ns/net, {folder}/config.json
        \"$@\"; status=$?; nsenter --net=/proc/$sleeper/ns/net ip -o link; kill $sleeper; exit $status"
    );
    bundle.save();
    let mut wrapped = Command::new("unshare");
    wrapped.args(["--net", "sh", "-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    let output = run(&mut wrapped).ok();
    assert!(output.contains("198.51.100.7/24"), "{output}");
    assert!(output.lines().last().is_some_and(|line| line.contains("eth7")), "after the container: {output}");
}

#[test]
fn a_refused_device_stays_as_it_was() {
    let runtime = Runtime::new();
    let after = "ip -o addr show dev eth7; ip link show dev eth7";
    let done = run_with(&runtime, json!({"eth7": {"name": "lo"}}), "true", after).exits(1);
    assert!(done.stderr.contains("move netDevice eth7"), "{}", done.stderr);
    for part in ["198.51.100.7/24", "127.0.0.33/8", "2001:db8::7/64", "mtu 1789", ",UP"] {
        assert!(done.stdout.contains(part), "{part} in {}", done.stdout);
    }
    let done = run_with(&runtime, json!({"eth9": {}}), "true", "true").exits(1);
    assert!(done.stderr.contains("link not found for interface eth9"), "{}", done.stderr);
}

#[test]
fn names_that_no_kernel_takes_are_refused() {
    let runtime = Runtime::new();
    for (devices, name) in [
        (json!({"a/b": {}}), "a/b"),
        (json!({"eth7": {"name": "sixteen-letters-"}}), "sixteen-letters-"),
        (json!({"..": {}}), ".."),
        (json!({"eth 7": {}}), "eth 7"),
    ] {
        let done = run_with(&runtime, devices, "true", "true").exits(1);
        assert!(
            done.stderr.contains(&format!("invalid network device name \\\"{name}\\\"")),
            "{}",
            done.stderr
        );
    }
    let mut bundle = runtime.bundle("host", "true");
    bundle.spec["linux"]["netDevices"] = json!({"eth7": {}});
    bundle.spec["linux"]["namespaces"] = json!([{"type": "pid"}, {"type": "mount"}]);
    bundle.spec.as_object_mut().expect("object").remove("hostname");
    bundle.save();
    let done = runtime.run(&runtime.id("host"), &bundle).exits(1);
    assert!(done.stderr.contains("without a NET namespace"), "{}", done.stderr);
}
