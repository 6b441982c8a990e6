//! A hermetic corner of the machine: a folder, a cgroup, an interface prefix; emptied and inspected when dropped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::process::call;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// One test's own corner. Everything that runs in it carries [`Host::name`] in its paths, cgroup or interface.
#[derive(Debug)]
pub struct Host {
    name: String,
    folder: PathBuf,
}

impl Host {
    /// Makes the folder; nothing else exists yet.
    ///
    /// # Panics
    /// When not root: containers, mounts and bridges need it.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "integration tests run as root");
        let name = format!("dt{:x}n{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(&folder).expect("make the host's folder");
        Self { name, folder }
    }

    /// Unique on this machine, at most 15 bytes: also the name of its bridge.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cgroup below which everything runs, as an absolute path in each hierarchy.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("/{}", self.name)
    }

    /// The folders of the cgroup `relative` to the host's own, in each hierarchy that has it.
    #[must_use]
    pub fn cgroup_folders(&self, relative: &str) -> Vec<PathBuf> {
        let below = |parent: PathBuf| parent.join(relative);
        self.cgroup_parents().into_iter().map(below).filter(|folder| folder.is_dir()).collect()
    }

    /// A path in the host's folder.
    #[must_use]
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.folder.join(relative)
    }

    /// A folder in the host's folder, made when it is missing.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn folder(&self, relative: impl AsRef<Path>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(&path).expect("make a folder");
        path
    }

    /// What of this host is still there: processes, mounts, cgroups with processes, interfaces, firewall tables.
    #[must_use]
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        leaks.extend(self.processes().into_iter().map(|(pid, what)| format!("process {pid}: {what}")));
        leaks.extend(self.mounts().into_iter().map(|path| format!("mount {}", path.display())));
        leaks.extend(self.cgroups().into_iter().map(|path| format!("cgroup {}", path.display())));
        let links = call("ip", &["-o", "link"]).stdout;
        leaks.extend(
            links.lines().filter(|line| line.contains(&self.name)).map(|line| format!("link {line}")),
        );
        let tables = call("nft", &["list", "tables"]).stdout;
        leaks.extend(tables.lines().filter(|line| line.contains(&self.name)).map(str::to_owned));
        leaks
    }

    fn processes(&self) -> Vec<(i32, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("list /proc").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
            let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
            let zombie =
                fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| stat.contains(") Z "));
            if !zombie && (command.contains(&self.name) || cgroup.contains(&self.name)) {
                found.push((pid, command));
            }
        }
        found
    }

    fn mounts(&self) -> Vec<PathBuf> {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
        let mut mounts: Vec<PathBuf> = table
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .map(PathBuf::from)
            .filter(|path| path.starts_with(&self.folder))
            .collect();
        mounts.reverse();
        mounts
    }

    /// Cgroups below the host's own: a stack removes each with its container.
    fn cgroups(&self) -> Vec<PathBuf> {
        let mut children = Vec::new();
        for parent in self.cgroup_parents() {
            for entry in fs::read_dir(&parent).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    children.push(entry.path());
                }
            }
        }
        children
    }

    fn cgroup_parents(&self) -> BTreeSet<PathBuf> {
        let table = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
        table
            .lines()
            .filter(|line| line.contains(" - cgroup"))
            .filter_map(|line| line.split(' ').nth(4))
            .map(|mount| Path::new(mount).join(&self.name))
            .filter(|path| path.exists())
            .collect()
    }

    fn clear(&self) {
        for (pid, _) in self.processes() {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        for mount in self.mounts() {
            let _gone = umount2(&mount, MntFlags::MNT_DETACH);
        }
        for parent in self.cgroup_parents() {
            remove_cgroups(&parent);
        }
        call("ip", &["link", "delete", &self.name]);
        drop(fs::remove_dir_all(&self.folder));
        // Where shims keep the runtime's state unless they are told: a folder a namespace, which no engine removes.
        drop(fs::remove_dir_all(format!("/run/containerd/runc/{}", self.name)));
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

fn remove_cgroups(path: &Path) {
    for _ in 0..50 {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                remove_cgroups(&entry.path());
            }
        }
        if fs::remove_dir(path).is_ok() || !path.exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

impl Drop for Host {
    /// Tears down, and fails the test when something was left behind by a test that passed otherwise.
    fn drop(&mut self) {
        // What was told to end may need a moment for its last steps.
        let mut leaks = self.leaks();
        for _ in 0..100 {
            if leaks.is_empty() || std::thread::panicking() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            leaks = self.leaks();
        }
        self.clear();
        if !std::thread::panicking() {
            assert!(leaks.is_empty(), "left behind: {leaks:#?}");
        }
    }
}
