//! Docker's own daemon, of either release.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Release;
use crate::host::Host;
use crate::process::{Background, Done, eventually, run};
use crate::{binaries, busybox};

/// A stock dockerd on a socket of its own, without networks of its own making.
#[derive(Debug)]
pub struct Dockerd {
    process: Background,
    release: Release,
    host: Host,
}

/// Keeps Docker away from the machine's firewall and interfaces.
const NO_NETWORK: &[&str] = &["--bridge=none", "--iptables=false", "--ip6tables=false"];

/// The user whose subordinate ranges a remapped dockerd gives to its containers, and where they begin.
const REMAPPED: (&str, u32) = ("dockremap", 700_000);

impl Dockerd {
    /// Starts the installed one with these further options.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        Self::start_release(Release::Installed, options)
    }

    /// Starts the one of `release` with these further options.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start_release(release: Release, options: &[&str]) -> Self {
        Self::launch(release, |_| Command::new("dockerd"), &[NO_NETWORK, options].concat())
    }

    /// Starts one with its own bridge, in a network namespace that ends with it.
    #[must_use]
    #[track_caller]
    pub fn start_with_network(release: Release) -> Self {
        let command = |_: &Host| {
            let mut command = Command::new("unshare");
            command.args(["--net", "sh", "-c", "ip link set lo up && exec dockerd \"$@\"", "dockerd"]);
            command
        };
        Self::launch(release, command, &[])
    }

    /// Starts one whose containers run on the runtime under test, with an image `busybox`.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn on_our_runtime(release: Release, options: &[&str]) -> Self {
        let dockerd = Self::start_release(release, &[&our_runtime()[..], options].concat());
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
    pub fn on_our_runtime_remapped(release: Release) -> Self {
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
        let options = [NO_NETWORK, &our_runtime(), &["--userns-remap", user]].concat();
        let dockerd = Self::launch(release, command, &options);
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
    fn launch(release: Release, command: impl FnOnce(&Host) -> Command, options: &[&str]) -> Self {
        let host = Host::new();
        let log = fs::File::create(host.path("dockerd.log")).expect("make the log");
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
            .env("PATH", release.search_path())
            .stdout(log.try_clone().expect("duplicate"))
            .stderr(log);
        let mut dockerd = Self { process: Background::start(&mut command), release, host };
        eventually("dockerd answers", || {
            let log = || fs::read_to_string(dockerd.host.path("dockerd.log")).unwrap_or_default();
            assert!(dockerd.process.is_running(), "dockerd ended: {}", log());
            run(&mut client(&dockerd.release, &dockerd.host, &["version"])).code == 0
        });
        dockerd
    }

    /// A command of Docker's CLI to start in another way.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        client(&self.release, &self.host, arguments)
    }

    /// Runs the CLI of its release against it.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> Done {
        run(&mut client(&self.release, &self.host, arguments))
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
    vec![String::leak(add), "--default-runtime=dhow"]
}

fn address(host: &Host) -> String {
    format!("unix://{}", host.path("dockerd.sock").display())
}

fn client(release: &Release, host: &Host, arguments: &[&str]) -> Command {
    let mut command = release.command("docker");
    command.args(["-H", &address(host)]).args(arguments).env("DOCKER_CONFIG", host.path("client"));
    command
}
