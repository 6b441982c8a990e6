//! The real neighbours, each started privately: Debian's containerd and dockerd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::binaries;
use crate::host::Host;
use crate::process::{Background, Done, eventually, run};

/// A stock containerd whose shims are found in Dhow's folder first.
#[derive(Debug)]
pub struct Containerd {
    process: Option<Background>,
    host: Host,
}

impl Containerd {
    /// Starts one on a root, state and socket of its own.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let mut containerd = Self { process: None, host: Host::new() };
        containerd.launch();
        containerd
    }

    /// Where it works.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.host.path("containerd.sock")
    }

    /// Starts the process; also after [`Containerd::kill`].
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn launch(&mut self) {
        let root = self.host.folder("root");
        let state = self.host.folder("state");
        let config = format!(
            "version = 2\nroot = {root:?}\nstate = {state:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {:?}\n[ttrpc]\naddress = \"{}.ttrpc\"\n",
            self.socket(),
            self.socket().display()
        );
        let path = self.host.path("config.toml");
        fs::write(&path, config).expect("write config.toml");
        let log = fs::File::create(self.host.path("containerd.log")).expect("make the log");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(path).env("PATH", search_path()).stdout(Stdio::null()).stderr(log);
        self.process = Some(Background::start(&mut command));
        eventually("containerd answers", || self.ctr(&["version"]).code == 0);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Runs `ctr` against it.
    #[track_caller]
    pub fn ctr(&self, arguments: &[&str]) -> Done {
        ctr(&self.socket(), arguments)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for task in self.ctr(&["tasks", "ls", "-q"]).stdout.lines() {
                self.ctr(&["tasks", "kill", "-s", "SIGKILL", task]);
                self.ctr(&["tasks", "delete", "--force", task]);
            }
        }
        drop(self.process.take());
    }
}

/// Runs `ctr` against the socket of a containerd or of a supervisor.
#[track_caller]
pub fn ctr(socket: &Path, arguments: &[&str]) -> Done {
    run(&mut ctr_command(socket, arguments))
}

/// A `ctr` command in a namespace named after the host: `ctr` puts a container into the cgroup `/NAMESPACE/ID`.
#[must_use]
pub fn ctr_command(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket).args(arguments);
    if let Some(host) = socket.parent().and_then(Path::file_name) {
        command.env("CONTAINERD_NAMESPACE", host);
    }
    command
}

/// A stock dockerd on a socket of its own, without networks of its own making.
#[derive(Debug)]
pub struct Dockerd {
    process: Background,
    host: Host,
}

impl Dockerd {
    /// Starts one with these further options.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    #[track_caller]
    pub fn start(options: &[&str]) -> Self {
        Self::launch(
            Command::new("dockerd"),
            &[&["--bridge=none", "--iptables=false", "--ip6tables=false"], options].concat(),
        )
    }

    /// Starts one with its own bridge, in a network namespace that ends with it.
    #[must_use]
    #[track_caller]
    pub fn start_with_network() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec dockerd \"$@\"", "dockerd"]);
        Self::launch(command, &[])
    }

    #[track_caller]
    fn launch(mut command: Command, options: &[&str]) -> Self {
        let host = Host::new();
        let log = fs::File::create(host.path("dockerd.log")).expect("make the log");
        command
            .arg("--data-root")
            .arg(host.folder("data"))
            .arg("--exec-root")
            .arg(host.folder("exec"))
            .arg("--pidfile")
            .arg(host.path("dockerd.pid"))
            .args(["--host", &address(&host), "--cgroup-parent", &host.cgroup()])
            .args(options)
            .env("PATH", search_path())
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

fn address(host: &Host) -> String {
    format!("unix://{}", host.path("dockerd.sock").display())
}

fn client(host: &Host, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["-H", &address(host)]).args(arguments).env("DOCKER_CONFIG", host.path("client"));
    command
}

fn search_path() -> String {
    format!("{}:{}", binaries::folder().display(), std::env::var("PATH").unwrap_or_default())
}
