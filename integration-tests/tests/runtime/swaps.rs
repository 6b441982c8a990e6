//! Attacks by replacement: what the runtime is about to mount, bind, mask with or write to is another thing than it
//! seems, from the start or only sometimes. Each performs the attack.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::process::{Done, run};
use dhow_integration_tests::runtime::Runtime;
use dhow_integration_tests::terminal::Terminal;
use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};
use serde_json::{Value, json};

/// How often a race is run.
const TRIES: usize = 15;

/// Exchanges two entries of a folder as fast as it can, until it is dropped.
struct Flipper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flipper {
    fn start(one: PathBuf, other: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let flip = move || {
            while !stopped.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).expect("exchange");
                std::thread::yield_now();
            }
        };
        Self { stop, thread: Some(std::thread::spawn(flip)) }
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn bind(source: &Path, target: &str) -> Value {
    json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", "rw"]})
}

fn mounts(bundle: &mut Bundle) -> &mut Vec<Value> {
    bundle.spec["mounts"].as_array_mut().expect("mounts")
}

/// Replaces every mount at or below `target` by a bind mount of `source`.
fn replace_mount(bundle: &mut Bundle, target: &str, source: &Path) {
    let list = mounts(bundle);
    list.retain(|mount| !mount["destination"].as_str().is_some_and(|other| other.starts_with(target)));
    list.push(bind(source, target));
    bundle.save();
}

fn device(path: &Path, major: u32, minor: u32) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(major, minor))
        .expect("make a device");
}

/// A `/dev` of the attacker's, in which `null` is what `make` makes of it.
fn hostile_dev(runtime: &Runtime, name: &str, make: impl Fn(&Path)) -> (Bundle, PathBuf) {
    let dev = runtime.host().folder(format!("dev-{name}"));
    make(&dev.join("null"));
    let script = "cat /proc/keys; cat /proc/timer_list; echo ran";
    let mut bundle = runtime.bundle(name, script);
    fs::write(bundle.rootfs("secret"), "swapped").expect("write");
    bundle.spec["linux"]["maskedPaths"] = json!(["/proc/keys", "/proc/timer_list"]);
    replace_mount(&mut bundle, "/dev", &dev);
    (bundle, dev)
}

/// CVE-2025-31133: paths are masked with a `/dev/null` that is a link, a plain file or another device.
#[test]
fn a_mask_is_made_of_the_null_device_or_not_at_all() {
    let runtime = Runtime::new();
    let hold = |done: &Done| assert!(["", "ran\n"].contains(&done.stdout.as_str()), "{done:?}");
    let link = |null: &Path| symlink("/secret", null).expect("link");
    let file = |null: &Path| fs::write(null, "swapped").expect("write");
    let zero = |null: &Path| device(null, 1, 5);
    let bundles = [
        ("link", hostile_dev(&runtime, "link", link)),
        ("file", hostile_dev(&runtime, "file", file)),
        ("zero", hostile_dev(&runtime, "zero", zero)),
    ];
    for (name, (mut bundle, _)) in bundles {
        // Whoever reads the zero device reads for ever.
        bundle.spec["process"]["args"][2] = json!("head -c 9 /proc/keys | tr '\\0' z; echo ran");
        bundle.save();
        hold(&runtime.run(&runtime.id(name), &bundle));
    }
    let (bundle, dev) = hostile_dev(&runtime, "race", |null| device(null, 1, 3));
    symlink("/secret", dev.join("other")).expect("link");
    let _flipper = Flipper::start(dev.join("null"), dev.join("other"));
    for _ in 0..TRIES {
        hold(&runtime.run(&runtime.id("race"), &bundle));
    }
}

/// CVE-2025-52565: `/dev/console` is bound from `/dev/pts/N`, which is a link to something of `/proc`.
#[test]
fn the_console_is_a_terminal_or_is_not() {
    let runtime = Runtime::new();
    let pts = runtime.host().folder("pts");
    for number in 0..8 {
        symlink("/proc/version", pts.join(number.to_string())).expect("link");
    }
    let script = "grep /proc/version /proc/self/mountinfo; cat /proc/version; \
                  grep ' /dev/console ' /proc/self/mountinfo || echo no console; echo ran";
    let mut own_pts = runtime.bundle("pts", script);
    replace_mount(&mut own_pts, "/dev/pts", &pts);

    let dev = runtime.host().folder("dev");
    symlink("/proc/version", dev.join("console")).expect("link");
    let mut own_dev = runtime.bundle("console", script);
    replace_mount(&mut own_dev, "/dev", &dev);

    for (name, bundle) in [("pts", &mut own_pts), ("console", &mut own_dev)] {
        bundle.spec["process"]["terminal"] = json!(true);
        bundle.save();
        let folder = bundle.folder().to_str().expect("UTF-8");
        let mut command = runtime.command(&["run", "--bundle", folder, &runtime.id(name)]);
        let (code, output) = Terminal::start(command.env("TERM", "dumb")).finish();
        assert!(!output.contains("/proc/version"), "{name}: {output}");
        let bound = output.contains("devpts") || output.contains("no console");
        assert!(code != 0 || (output.contains("ran") && bound), "{name}: {output}");
    }
}

/// CVE-2025-52881: what is written to `/proc` for the container lands in a file that the attacker put there.
#[test]
fn writes_to_proc_go_to_proc() {
    let runtime = Runtime::new();
    let host_value = || fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("a sysctl");
    let before = host_value();
    let fake = runtime.host().folder("fake");
    let victim = runtime.host().path("victim");
    for target in ["/proc", "/proc/sys", "/proc/sys/net/ipv4", "/proc/self/attr", "/proc/thread-self"] {
        let name = format!("at{}", target.replace('/', "-"));
        let mut bundle = runtime.bundle(&name, "true");
        fs::write(&victim, "untouched").expect("write");
        for file in ["sys/net/ipv4/ip_forward", "net/ipv4/ip_forward", "ip_forward", "exec", "self/attr/exec"]
        {
            let path = fake.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
            drop(fs::remove_file(&path));
            fs::hard_link(&victim, &path).expect("link");
        }
        bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
        bundle.spec["process"]["selinuxLabel"] = json!("");
        if target == "/proc" {
            replace_mount(&mut bundle, target, &fake);
        } else {
            mounts(&mut bundle).push(bind(&fake, target));
            bundle.save();
        }
        drop(runtime.run(&runtime.id(&name), &bundle));
        assert_eq!(fs::read_to_string(&victim).expect("read"), "untouched", "{target}");
        assert_eq!(host_value(), before, "{target}");
    }
}

/// What stands at the container's `/proc` has no say: here that is only a part of it, and the writes arrive all the same.
#[test]
fn writes_to_proc_do_not_need_the_containers_own() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("part", "cat /proc/net/ipv4/ip_forward");
    replace_mount(&mut bundle, "/proc", Path::new("/proc/sys"));
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.spec["linux"]["maskedPaths"] = json!([]);
    bundle.spec["linux"]["readonlyPaths"] = json!([]);
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("part"), &bundle).ok(), "1");
}

/// CVE-2019-19921 and CVE-2023-27561: `/proc` or `/sys` of the image is a link, so that what is mounted there is elsewhere.
#[test]
fn proc_and_sys_are_mounted_on_plain_folders_only() {
    for link in ["proc", "sys"] {
        let runtime = Runtime::new();
        let bundle = runtime.bundle(link, "true");
        fs::remove_dir(bundle.rootfs(link)).expect("remove the folder");
        fs::create_dir(bundle.rootfs("elsewhere")).expect("make a folder");
        symlink("elsewhere", bundle.rootfs(link)).expect("link");
        let done = runtime.run(&runtime.id(link), &bundle);
        assert_ne!(done.code, 0);
        assert!(done.stderr.contains("must be mounted on ordinary directory"), "{}", done.stderr);
    }
}

/// CVE-2021-30465 and CVE-2024-45310: a mount target in a shared volume is exchanged with a link while the runtime
/// makes it.
#[test]
fn a_mount_target_that_changes_meanwhile_stays_below_the_root() {
    let runtime = Runtime::new();
    let (shared, victim) = (runtime.host().folder("shared"), runtime.host().folder("victim"));
    fs::create_dir(shared.join("target")).expect("make a folder");
    symlink(&victim, shared.join("link")).expect("link");
    let mut bundle = runtime.bundle("race", "true");
    let list = mounts(&mut bundle);
    list.push(bind(&shared, "/shared"));
    list.push(
        json!({"destination": "/shared/target/sub", "type": "tmpfs", "source": "tmpfs", "options": []}),
    );
    bundle.save();
    let _flipper = Flipper::start(shared.join("target"), shared.join("link"));
    for _ in 0..TRIES {
        drop(runtime.run(&runtime.id("race"), &bundle));
        assert_eq!(fs::read_dir(&victim).expect("list").count(), 0, "something was made on the host");
    }
}

/// CVE-2024-21626 as it was found: a descriptor of the host that the caller of the runtime forgot to close.
#[test]
fn a_leaked_descriptor_reaches_nobody() {
    let runtime = Runtime::new();
    let leaking = |arguments: &[&str]| {
        let command = runtime.command(arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 9</; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
        run(&mut shell)
    };
    let id = runtime.id("leak");
    let bundle = runtime.bundle("leak", "ls /proc/self/fd; exec sleep 1000");
    let folder = bundle.folder().to_str().expect("UTF-8");
    let seen = "ls -l /proc/self/fd /proc/1/fd; cat /proc/self/fd/9/etc/hostname";
    let mut command = runtime.bundle("seen", seen);
    let done = leaking(&["run", "--bundle", command.folder().to_str().expect("UTF-8"), &runtime.id("seen")]);
    assert!(!done.stdout.contains(" 9 ->") && done.stdout.contains(" 1 ->"), "{done:?}");
    command.spec["process"]["cwd"] = json!("/proc/self/fd/9");
    command.save();
    let done = leaking(&["run", "--bundle", command.folder().to_str().expect("UTF-8"), &runtime.id("cwd")]);
    assert_ne!(done.code, 0, "{done:?}");

    let detached = ["run", "--detach", "--bundle", folder, &id];
    let mut quiet = runtime.command(&detached);
    let output = fs::File::create(runtime.host().path("out")).expect("make a file");
    quiet.stdout(output).stderr(std::process::Stdio::null()).stdin(std::process::Stdio::null());
    assert!(quiet.status().expect("run").success());
    let done = leaking(&["exec", &id, "sh", "-c", seen]);
    assert!(!done.stdout.contains(" 9 ->") && done.stdout.contains(" 1 ->"), "{done:?}");
    for cwd in ["/proc/self/fd/9", "/proc/self/fd/7", "/proc/1/fd/9"] {
        let done = leaking(&["exec", "--cwd", cwd, &id, "pwd"]);
        assert_ne!(done.code, 0, "{cwd}: {done:?}");
    }
}
