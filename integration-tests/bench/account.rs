//! CPU time that a daemon and everything that it starts have used, as a cgroup of the kernel's counts it.

use std::fs;
use std::path::PathBuf;

use nix::unistd::Pid;

/// The hierarchies that count, and the file in each: nanoseconds of v1, and v2's table in microseconds.
const COUNTERS: &[(&str, &str)] =
    &[("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")];

/// A cgroup with one daemon in it; containers leave it for their own.
#[derive(Debug)]
pub(crate) struct Account {
    folder: PathBuf,
    counter: PathBuf,
}

impl Account {
    /// Moves the daemon `pid` into a cgroup of its own; `None` where nothing counts.
    pub(crate) fn open(name: &str, pid: Pid) -> Option<Self> {
        COUNTERS.iter().find_map(|(hierarchy, counter)| {
            let folder = PathBuf::from(hierarchy).join(format!("bench-{}-{name}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let account = Self { counter: folder.join(counter), folder };
            fs::write(account.folder.join("cgroup.procs"), pid.to_string()).ok()?;
            account.milliseconds().is_some().then_some(account)
        })
    }

    /// CPU time so far.
    pub(crate) fn milliseconds(&self) -> Option<f64> {
        let text = fs::read_to_string(&self.counter).ok()?;
        match text.trim().parse::<f64>() {
            Ok(nanoseconds) => Some(nanoseconds / 1e6),
            Err(_) => {
                let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                line.parse::<f64>().ok().map(|microseconds| microseconds / 1e3)
            }
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // The daemon itself, which ends later, and shims on their way out.
        let inside = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            drop(fs::write(self.folder.with_file_name("cgroup.procs"), pid));
        }
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
