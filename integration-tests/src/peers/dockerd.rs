//! Docker's own daemon: Debian's, or a newer one that the environment names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::search_path;
use crate::host::Host;
use crate::process::{Background, Done, eventually, run};
use crate::{binaries, busybox};

/// A stock dockerd on a socket of its own, without networks of its own making.
#[derive(Debug)]
pub struct Dockerd {
    process: Background,
    host: Host,
}

/// Keeps Docker away from the machine's firewall and interfaces.
const NO_NETWORK: &[&str] = &["--bridge=none", "--iptables=false", "--ip6tables=false"];

/// The user whose subordinate ranges a remapped dockerd gives to its containers, and where they begin.
const REMAPPED: (&str, u32) = ("dockremap", 700_000);

/// The folder with a Docker 28 in its `usr/bin` and `usr/sbin`: `$DHOW_PEER_DOCKER28`.
///
/// Debian 12 has no package of it, so a test that wants one is skipped, with a line that says so, where none is named.
#[must_use]
pub fn docker28() -> Option<PathBuf> {
    let folder = std::env::var_os("DHOW_PEER_DOCKER28").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: DHOW_PEER_DOCKER28 names no folder with dockerd 28 in usr/sbin");
    }
    folder
}

impl Dockerd {
    /// Starts Debian's with these further options.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        Self::start_release(None, options)
    }

    /// Starts Debian's, or the one in `release`, with these further options.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_release(release: Option<&Path>, options: &[&str]) -> Self {
        let program = release.map_or_else(|| "dockerd".into(), |folder| folder.join("usr/sbin/dockerd"));
        Self::launch(|_| Command::new(program), release, &[NO_NETWORK, options].concat())
    }

    /// Starts one with its own bridge, in a network namespace that ends with it.
    #[must_use]
    #[track_caller]
    pub fn start_with_network() -> Self {
        let command = |_: &Host| {
            let mut command = Command::new("unshare");
            command.args(["--net", "sh", "-c", "ip link set lo up && exec dockerd \"$@\"", "dockerd"]);
            command
        };
        Self::launch(command, None, &[])
    }

    /// Starts one whose containers run on the runtime under test, with an image `busybox`: Debian's, or the one in
    /// `release`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn on_our_runtime(release: Option<&Path>, options: &[&str]) -> Self {
        let program = release.map_or_else(|| "dockerd".into(), |folder| folder.join("usr/sbin/dockerd"));
        let dockerd =
            Self::launch(|_| Command::new(program), release, &[&our_runtime()[..], options].concat());
        dockerd.import_busybox();
        dockerd
    }

    /// As [`Dockerd::on_our_runtime`], and every container's root is [`Dockerd::first_remapped`] outside.
    ///
    /// The daemon runs in a mount namespace with files of its own in `/etc`, so that the machine's users stay as they
    /// are.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn on_our_runtime_remapped() -> Self {
        let (user, first) = REMAPPED;
        let command = |host: &Host| {
            let etc = host.folder("etc");
            let with = |file: &str, line: &str| {
                let text = fs::read_to_string(Path::new("/etc").join(file)).unwrap_or_default();
                fs::write(etc.join(file), format!("{text}{line}\n")).expect("write a file of /etc");
            };
            with("passwd", &format!("{user}:x:64999:64999::/:/bin/false"));
            with("group", &format!("{user}:x:64999:"));
            with("subuid", &format!("{user}:{first}:65536"));
            with("subgid", &format!("{user}:{first}:65536"));
            let script = "for file in passwd group subuid subgid; do touch /etc/$file; \
                          mount --bind \"$ETC/$file\" /etc/$file || exit; done; exec dockerd \"$@\"";
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-c", script, "dockerd"]);
            command.env("ETC", etc);
            command
        };
        let dockerd = Self::launch(command, None, &[&our_runtime()[..], &["--userns-remap", user]].concat());
        dockerd.import_busybox();
        dockerd
    }

    /// The user ID outside of a remapped container's root.
    #[must_use]
    pub fn first_remapped() -> u32 {
        REMAPPED.1
    }

    #[track_caller]
    fn import_busybox(&self) {
        let archive = busybox::tar(&self.host.folder("images"));
        self.docker(&["import", archive.to_str().expect("UTF-8"), "busybox:latest"]).ok();
    }

    #[track_caller]
    fn launch(command: impl FnOnce(&Host) -> Command, release: Option<&Path>, options: &[&str]) -> Self {
        let host = Host::new();
        let log = fs::File::create(host.path("dockerd.log")).expect("make the log");
        let path = match release {
            Some(folder) => format!("{0}/usr/bin:{0}/usr/sbin:{1}", folder.display(), search_path()),
            None => search_path(),
        };
        let mut command = command(&host);
        command
            .arg("--data-root")
            .arg(host.folder("data"))
            .arg("--exec-root")
            .arg(host.folder("exec"))
            .arg("--pidfile")
            .arg(host.path("dockerd.pid"))
            .args(["--host", &address(&host), "--cgroup-parent", &host.cgroup()])
            .args(options)
            .env("PATH", path)
            .stdout(log.try_clone().expect("duplicate"))
            .stderr(log);
        let mut dockerd = Self { process: Background::start(&mut command), host };
        eventually("dockerd answers", || {
            let log = || fs::read_to_string(dockerd.host.path("dockerd.log")).unwrap_or_default();
            assert!(dockerd.process.is_running(), "dockerd ended: {}", log());
            run(&mut client(&dockerd.host, &["version"])).code == 0
        });
        dockerd
    }

    /// A command of Docker's CLI to start in another way.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        client(&self.host, arguments)
    }

    /// Runs Docker's CLI against it.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Done {
        run(&mut client(&self.host, arguments))
    }

    /// Where it works.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its socket, as `DOCKER_HOST` wants it.
    #[must_use]
    pub fn address(&self) -> String {
        address(&self.host)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let containers = self.docker(&["ps", "-aq"]).stdout;
            for container in containers.lines() {
                self.docker(&["rm", "-f", container]);
            }
        }
    }
}

/// Options that make the runtime under test the default one.
fn our_runtime() -> Vec<&'static str> {
    let add = format!("--add-runtime=dhow={}", binaries::runtime().display());
    [NO_NETWORK, &[String::leak(add), "--default-runtime=dhow"]].concat()
}

fn address(host: &Host) -> String {
    format!("unix://{}", host.path("dockerd.sock").display())
}

fn client(host: &Host, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["-H", &address(host)]).args(arguments).env("DOCKER_CONFIG", host.path("client"));
    command
}
