//! The command line: containerd's flags.

use std::path::PathBuf;

use clap::Parser;

/// Content, snapshots, images, containers and tasks behind containerd's API.
#[derive(Debug, Parser)]
#[command(name = "dhow-supervisor", version, disable_help_subcommand = true)]
pub(crate) struct Options {
    /// Directory of what must survive a reboot
    #[arg(long, default_value = "/var/lib/dhow/supervisor", value_name = "DIRECTORY")]
    pub(crate) root: PathBuf,
    /// Directory of what ends with the boot
    #[arg(long, default_value = "/run/dhow/supervisor", value_name = "DIRECTORY")]
    pub(crate) state: PathBuf,
    /// Socket to serve gRPC on; shims reach us at the same path with `.ttrpc` after it
    #[arg(long, short, default_value = "/run/dhow/supervisor.sock", value_name = "SOCKET")]
    pub(crate) address: PathBuf,
    /// Least level to log: trace, debug, info, warn, error
    #[arg(long, short, default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: Level,
    /// What to do instead of serving
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What can be done instead of serving.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check everything below --root against its records; for a supervisor that is stopped
    Verify,
    /// Make the records below --root true again; for a supervisor that is stopped
    Repair,
    /// Ask the supervisor at --address about garbage collection
    #[command(subcommand)]
    Gc(Gc),
}

/// Questions about garbage collection.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Gc {
    /// Show what keeps an object: the way to it from a root
    Why {
        /// Namespace of the object
        #[arg(long, short, default_value = dhow_proto::namespace::DEFAULT)]
        namespace: String,
        /// Kind of the object: image, content, snapshot, container, ingest, lease
        kind: String,
        /// Its name; of a snapshot SNAPSHOTTER/KEY
        name: String,
    },
    /// Show what was deleted lately, and when
    Log,
}

/// A level of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    #[value(alias = "warning")]
    Warn,
    #[value(alias = "fatal", alias = "panic")]
    Error,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::TRACE,
            Level::Debug => Self::DEBUG,
            Level::Info => Self::INFO,
            Level::Warn => Self::WARN,
            Level::Error => Self::ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerd_flags_are_taken_and_unknown_ones_refused() {
        let line = "dhow-supervisor --root /r --state=/s -a /a.sock -l debug";
        let options = Options::try_parse_from(line.split(' ')).expect("containerd's flags");
        assert_eq!(options.root, PathBuf::from("/r"));
        assert_eq!(options.address, PathBuf::from("/a.sock"));
        assert_eq!(options.log_level, Level::Debug);
        let error = Options::try_parse_from(["dhow-supervisor", "--wrong"]).expect_err("unknown");
        assert!(error.to_string().contains("--wrong"), "{error}");
    }
}
