//! The command line, with dockerd's names. A flag that is not listed here is refused.

use std::path::{Path, PathBuf};

/// Serves the Docker Engine API.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "dhowd", version, about)]
pub(crate) struct Options {
    /// Folder of persistent data
    #[arg(long, short = 'g', default_value = "/var/lib/dhow")]
    pub(crate) data_root: PathBuf,
    /// Folder of state that ends with the boot
    #[arg(long, default_value = "/run/dhow")]
    pub(crate) exec_root: PathBuf,
    /// File that holds the process ID
    #[arg(long, short = 'p', default_value = "/run/dhow/dhowd.pid")]
    pub(crate) pidfile: PathBuf,
    /// Where to listen: unix://PATH, or tcp://ADDRESS:PORT on the loopback (may be repeated)
    #[arg(long = "host", short = 'H', default_value = "unix:///run/dhow/dhowd.sock")]
    pub(crate) hosts: Vec<String>,
    /// Group that may use the socket
    #[arg(long, short = 'G', default_value = "docker")]
    pub(crate) group: String,
    /// Socket of a supervisor that somebody else runs; without it the daemon keeps one of its own
    #[arg(long)]
    pub(crate) containerd: Option<PathBuf>,
    /// Namespace of containers in the supervisor
    #[arg(long, default_value = "moby")]
    pub(crate) containerd_namespace: String,
    /// Name of the default bridge; `none` for no default bridge
    #[arg(long, short = 'b', default_value = "dhow0")]
    pub(crate) bridge: String,
    /// Address of the default bridge, such as 172.17.0.1/16
    #[arg(long)]
    pub(crate) bip: Option<ipnet::IpNet>,
    /// Parent cgroup of containers
    #[arg(long, default_value = "/dhow")]
    pub(crate) cgroup_parent: String,
    /// Default log driver
    #[arg(long, default_value = "json-file", value_parser = ["json-file", "none"])]
    pub(crate) log_driver: String,
    /// Option of the default log driver: NAME=VALUE (may be repeated)
    #[arg(long = "log-opt", value_parser = pair)]
    pub(crate) log_opts: Vec<(String, String)>,
    /// Label of this daemon: NAME=VALUE (may be repeated)
    #[arg(long = "label")]
    pub(crate) labels: Vec<String>,
    /// Registry, or network of registries, that is reached without TLS (may be repeated)
    #[arg(long = "insecure-registry")]
    pub(crate) insecure_registries: Vec<String>,
    /// Keep containers running while the daemon is down: always so
    #[arg(long)]
    pub(crate) live_restore: bool,
    /// What to log
    #[arg(long, short = 'l', default_value = "info", value_parser = ["trace", "debug", "info", "warn", "error", "fatal"])]
    pub(crate) log_level: String,
    /// Log for debugging
    #[arg(long, short = 'D')]
    pub(crate) debug: bool,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or("expected NAME=VALUE")
}

impl Options {
    /// Where the records, logs and files of containers are.
    pub(crate) fn containers(&self) -> PathBuf {
        self.data_root.join("containers")
    }

    /// The socket of the supervisor.
    pub(crate) fn supervisor_socket(&self) -> PathBuf {
        self.containerd.clone().unwrap_or_else(|| self.exec_root.join("supervisor/supervisor.sock"))
    }

    /// A binary of this stack: beside this one, or else by name from PATH.
    pub(crate) fn binary(name: &str) -> PathBuf {
        let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(name)));
        beside.filter(|path| path.is_file()).unwrap_or_else(|| Path::new(name).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn an_unknown_flag_is_refused_and_named() {
        let error = Options::try_parse_from(["dhowd", "--userland-proxy-path", "x"]).expect_err("unknown");
        assert!(error.to_string().contains("--userland-proxy-path"));
    }

    #[test]
    fn flags_have_dockerds_names() {
        let line = "dhowd --data-root /d --exec-root /e -p /p -H unix:///a -H unix:///b --bip 10.0.0.1/24 -D --label a=b";
        let options = Options::try_parse_from(line.split(' ')).expect("flags");
        assert_eq!(options.hosts, ["unix:///a", "unix:///b"]);
        assert_eq!(options.supervisor_socket(), Path::new("/e/supervisor/supervisor.sock"));
    }
}
