//! The disk with Debian, and its kernel: made by mmdebstrap once for a list of packages, kept below `target/`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_integration_tests::binaries;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

/// What the machine has beyond Debian's essential packages.
const PACKAGES: &[&str] = &[
    "apparmor",
    "busybox-static",
    "containerd",
    "criu",
    "dbus",
    "dbus-user-session",
    "initramfs-tools",
    "iproute2",
    "iptables",
    "kmod",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "nftables",
    "procps",
    "systemd",
    "systemd-sysv",
    "udev",
    "uidmap",
];

const UNIT: &str = include_str!("guest/dhow-job.service");
const JOB: &str = include_str!("guest/dhow-job");

/// Services that nobody asked for, and logins.
const MASKED: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "containerd.service",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@.service",
    "serial-getty@.service",
];

/// A user for rootless containers, with IDs to give away: `needs::session_user` knows the name.
const USER: &[(&str, &str)] = &[
    ("passwd", "vm-user:x:1000:1000::/home/vm-user:/bin/sh"),
    // PAM wants to know that the account is open.
    ("shadow", "vm-user:*:19000:0:99999:7:::"),
    ("group", "vm-user:x:1000:"),
    ("subuid", "vm-user:100000:65536"),
    ("subgid", "vm-user:100000:65536"),
];

/// What an administrator does for such users: their systemd may limit CPUs and devices, not only memory and pids.
const DELEGATE: &str = "[Service]\nDelegate=cpu cpuset io memory pids\n";

/// Bytes of the disk; it is sparse, and what the machine writes is thrown away.
const SIZE: u64 = 4 << 30;

/// A disk that boots.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) disk: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
}

/// The image, made when there is none of this key.
pub(crate) fn ready() -> Image {
    assert_eq!(std::env::consts::ARCH, "x86_64", "the machine is a PC: its binaries are those of the host");
    let suite = suite();
    let folder = binaries::folder().with_file_name("target").join("vm");
    fs::create_dir_all(&folder).expect("make the folder of images");
    let lock = fs::File::create(folder.join("lock")).expect("make the lock");
    flock(&lock, FlockOperation::LockExclusive).expect("wait for whoever makes the image");
    let key = Sha256::digest(format!("{suite} {PACKAGES:?} {MASKED:?} {USER:?} {DELEGATE} {UNIT} {JOB}"));
    let place = folder.join(hex::encode(&key[..8]));
    if !place.exists() {
        clear(&folder);
        println!("vm: making a disk of Debian {suite} with {} packages", PACKAGES.len());
        let building = folder.join("new");
        fs::create_dir(&building).expect("make the image's folder");
        // On a thread of its own: it leaves the mount namespace of the others.
        let result = std::thread::spawn(move || make(&suite, &building).map(|()| building)).join();
        let building = result.expect("the image is made").expect("the image is made");
        fs::rename(building, &place).expect("publish the image");
    }
    Image { disk: place.join("disk"), kernel: place.join("kernel"), initrd: place.join("initrd") }
}

/// The host's own suite: the tests' executables are linked to its C library.
fn suite() -> String {
    let release = fs::read_to_string("/etc/os-release").expect("read os-release");
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.expect("a Debian host").trim_matches('"').to_owned()
}

/// Removes images of other keys and half-made ones.
fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).expect("list images").flatten() {
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path()).expect("remove an image");
        }
    }
}

/// Makes the root in memory, where dpkg's many syncs cost nothing, and nobody else sees the mount.
fn make(suite: &str, building: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let root = building.join("root");
    fs::create_dir(&root).expect("make the root's folder");
    mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
    succeed(
        Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--mode=root", "--format=directory"])
            .args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"])
            .args(["--dpkgopt=path-exclude=/usr/share/locale/*"])
            .arg(format!("--include={}", PACKAGES.join(",")))
            .arg(suite)
            .arg(&root),
    );
    install_job(&root);
    add_user(&root);
    for (name, found) in [("kernel", "vmlinuz-"), ("initrd", "initrd.img-")] {
        fs::copy(in_boot(&root, found), building.join(name)).expect("take the kernel");
    }
    let disk = building.join("disk");
    fs::File::create(&disk).and_then(|file| file.set_len(SIZE)).expect("make the disk");
    succeed(
        Command::new("mke2fs").args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]).arg(&root).arg(&disk),
    );
    nix::mount::umount(&root)?;
    fs::remove_dir(&root).expect("remove the root's folder");
    Ok(())
}

fn install_job(root: &Path) {
    let units = root.join("etc/systemd/system");
    fs::write(units.join("dhow-job.service"), UNIT).expect("write the unit");
    fs::create_dir_all(units.join("multi-user.target.wants")).expect("make a folder");
    symlink("../dhow-job.service", units.join("multi-user.target.wants/dhow-job.service")).expect("enable");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit)).expect("mask a unit");
    }
    let job = root.join("usr/local/sbin/dhow-job");
    fs::write(&job, JOB).expect("write the job");
    fs::set_permissions(&job, fs::Permissions::from_mode(0o755)).expect("make it executable");
    fs::write(root.join("etc/hostname"), "vm\n").expect("write the name");
}

fn add_user(root: &Path) {
    for (file, line) in USER {
        let path = root.join("etc").join(file);
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{text}{line}\n")).expect("add the user");
    }
    let home = root.join("home/vm-user");
    fs::create_dir(&home).and_then(|()| chown(&home, Some(1000), Some(1000))).expect("make the home");
    let folder = root.join("etc/systemd/system/user@.service.d");
    fs::create_dir(&folder).expect("make a folder");
    fs::write(folder.join("delegate.conf"), DELEGATE).expect("delegate");
}

fn in_boot(root: &Path, prefix: &str) -> PathBuf {
    let entries = fs::read_dir(root.join("boot")).expect("list boot").flatten();
    let mut found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    found.next().expect("a kernel package is installed").path()
}

/// Runs a command that must end well; it shows its own output.
pub(crate) fn succeed(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
