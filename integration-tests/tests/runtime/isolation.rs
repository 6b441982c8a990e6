//! What a container may see of its host: namespaces, mounts, masks, devices.

use dhow_integration_tests::runtime::Runtime;
use serde_json::json;

#[test]
fn the_process_is_alone_in_its_namespaces() {
    let runtime = Runtime::new();
    let bundle =
        runtime.bundle("alone", "echo $$; hostname; ls /proc | grep -c '^[0-9]'; ip -o link | wc -l");
    let output = runtime.run(&runtime.id("alone"), &bundle).ok();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "1", "PID 1 of its own namespace");
    assert_eq!(lines[1], "bundle", "its own host name");
    assert!(lines[2].parse::<u32>().expect("a count") < 6, "only its own processes: {output}");
    assert_eq!(lines[3], "1", "only the loopback interface");
}

#[test]
fn masked_and_read_only_paths_are_what_they_say() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle(
        "masked",
        "wc -c < /proc/keys; ls /sys/firmware | wc -l; echo 1 > /proc/sys/vm/drop_caches; \
         mount | grep -c ' /proc/sys .*[(,]ro[,)]'",
    );
    let done = runtime.run(&runtime.id("masked"), &bundle).exits(0);
    assert_eq!(done.stdout.split_whitespace().collect::<Vec<_>>(), ["0", "0", "1"]);
    assert!(done.stderr.contains("Read-only file system"), "{}", done.stderr);
}

#[test]
fn the_old_root_is_out_of_reach() {
    let runtime = Runtime::new();
    let bundle =
        runtime.bundle("root", "cat /proc/self/mountinfo; cd /proc/self/cwd && ls -d ../../../../bin");
    let output = runtime.run(&runtime.id("root"), &bundle).ok();
    assert!(output.ends_with("../../../../bin"), "{output}");
    let points: Vec<&str> = output.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert_eq!(points.first(), Some(&"/"), "the first mount is the container's root: {output}");
    let known = |point: &&str| ["/", "/proc", "/dev", "/sys"].iter().any(|known| point.starts_with(known));
    assert!(points.iter().all(|point| known(point) && !point.contains(runtime.host().name())), "{points:?}");
}

#[test]
fn devices_are_dockers_and_no_others() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle(
        "dev",
        "for d in null zero full random urandom tty ptmx fd stdin stdout stderr; do ls -d /dev/$d; done; \
         echo x > /dev/null && head -c 4 /dev/zero | wc -c; mknod /tmp/sda b 8 0 2>&1; cat /tmp/sda 2>&1 | head -1",
    );
    let output = runtime.run(&runtime.id("dev"), &bundle).stdout;
    assert!(output.starts_with("/dev/null\n/dev/zero\n/dev/full\n"), "{output}");
    assert!(output.contains("\n4\n"), "{output}");
    assert!(output.contains("Operation not permitted"), "no CAP_MKNOD here: {output}");
}

#[test]
fn a_bind_mount_shows_the_host_and_obeys_read_only() {
    let runtime = Runtime::new();
    let shared = runtime.host().folder("shared");
    std::fs::write(shared.join("hello"), "from the host").expect("write");
    let mut bundle = runtime.bundle("bind", "cat /data/hello; touch /data/new; touch /rw/made");
    let mounts = bundle.spec["mounts"].as_array_mut().expect("mounts");
    mounts
        .push(json!({"destination": "/data", "type": "bind", "source": shared, "options": ["rbind", "ro"]}));
    let writable = runtime.host().folder("writable");
    mounts.push(json!({"destination": "/rw", "type": "bind", "source": writable, "options": ["bind", "rw"]}));
    bundle.save();
    let done = runtime.run(&runtime.id("bind"), &bundle).exits(0);
    assert_eq!(done.stdout, "from the host");
    assert!(done.stderr.contains("Read-only file system"), "{}", done.stderr);
    assert!(runtime.host().path("writable/made").exists());
}

#[test]
fn a_mount_target_that_is_a_symlink_stays_inside() {
    let runtime = Runtime::new();
    let victim = runtime.host().folder("victim");
    let mut bundle = runtime.bundle("symlink", "ls /inside; mount | grep -c tmpfs");
    std::os::unix::fs::symlink(&victim, bundle.rootfs("link")).expect("a hostile link");
    let mounts = bundle.spec["mounts"].as_array_mut().expect("mounts");
    mounts.push(json!({"destination": "/link", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}));
    bundle.save();
    drop(runtime.run(&runtime.id("symlink"), &bundle));
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    assert!(!table.contains(victim.to_str().expect("UTF-8")), "nothing was mounted on the host");
    assert_eq!(std::fs::read_dir(&victim).expect("list").count(), 0);
}

#[test]
fn a_read_only_root_refuses_writes() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("ro", "touch /file; echo $?");
    bundle.spec["root"]["readonly"] = json!(true);
    bundle.save();
    let done = runtime.run(&runtime.id("ro"), &bundle).exits(0);
    assert_eq!(done.stdout, "1\n");
    assert!(done.stderr.contains("Read-only file system"), "{}", done.stderr);
}
