//! Which release of a neighbour: the one that this machine has installed, or a newer one, unpacked beside it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::search_path;

/// Where the programs of a neighbour come from.
#[derive(Debug, Clone)]
pub enum Release {
    /// What Debian 12 has: dockerd 20.10, containerd 1.6.
    Installed,
    /// A newer one, in `usr/bin` and `usr/sbin` of a folder: dockerd 28, containerd 2.1 or later.
    Unpacked(PathBuf),
}

impl Release {
    /// The newer one: what `.ci/peers` unpacked into `target/peers`, or the folder named by `$DHOW_PEER_DOCKER28`.
    ///
    /// Where there is none, a test that wants it is skipped with a line that says so.
    #[must_use]
    pub fn newer() -> Option<Self> {
        let newer = Self::unpacked();
        if newer.is_some() {
            return newer;
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Not through eprintln!, which the test harness keeps to itself when a test passes.
        let told = writeln!(std::io::stderr(), "skipped: {test} needs newer peers; `.ci/peers` fetches them");
        drop(told);
        None
    }

    /// The newer one, or else the installed one.
    #[must_use]
    pub fn newest() -> Self {
        Self::unpacked().unwrap_or(Self::Installed)
    }

    fn unpacked() -> Option<Self> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("peers");
        let release = Self::Unpacked(std::env::var_os("DHOW_PEER_DOCKER28").map_or(place, PathBuf::from));
        release.program("dockerd").exists().then_some(release)
    }

    /// Both, or the installed one alone.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Installed).chain(Self::newer())
    }

    /// A program of it.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        match self {
            Self::Installed => name.into(),
            Self::Unpacked(folder) => {
                let path = folder.join("usr/bin").join(name);
                if path.exists() { path } else { folder.join("usr/sbin").join(name) }
            }
        }
    }

    /// A command of it, which finds its own kind first, then Dhow's binaries, then the machine's.
    #[must_use]
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        command.env("PATH", self.search_path());
        command
    }

    /// A command of its `ctr`, in a namespace named after the host of `socket`: `ctr` puts a container into the cgroup
    /// `/NAMESPACE/ID`.
    #[must_use]
    pub fn ctr(&self, socket: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command("ctr");
        command.arg("--address").arg(socket).args(arguments);
        if let Some(host) = socket.parent().and_then(Path::file_name) {
            command.env("CONTAINERD_NAMESPACE", host);
        }
        command
    }

    /// Where its programs look for each other.
    #[must_use]
    pub fn search_path(&self) -> String {
        match self {
            Self::Installed => search_path(),
            Self::Unpacked(folder) => {
                format!("{0}/usr/bin:{0}/usr/sbin:{1}", folder.display(), search_path())
            }
        }
    }
}
