//! The command line: containerd's flags.

use std::path::PathBuf;

use clap::Parser;

use crate::config::{self, ConfigError, Document, Format, Socket};

/// Content, snapshots, images, containers and tasks behind containerd's API.
#[derive(Debug, Parser)]
#[command(name = "dhow-supervisor", version, disable_help_subcommand = true, disable_version_flag = true)]
struct Flags {
    /// Directory of what must survive a reboot [default: /var/lib/dhow/supervisor]
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<PathBuf>,
    /// Directory of what ends with the boot [default: /run/dhow/supervisor]
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// Socket to serve gRPC on; shims reach us at the same path with `.ttrpc` after it
    /// [default: /run/dhow/supervisor.sock]
    #[arg(long, short, value_name = "SOCKET")]
    address: Option<PathBuf>,
    /// containerd's configuration file; flags win over it
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Least level to log [default: info]
    #[arg(long, short, value_name = "LEVEL")]
    log_level: Option<Level>,
    /// Print version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    /// What to do instead of serving
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where everything is when nothing is said.
const ROOT: &str = "/var/lib/dhow/supervisor";
const STATE: &str = "/run/dhow/supervisor";
const ADDRESS: &str = "/run/dhow/supervisor.sock";

/// What the command line and the configuration file say together.
#[derive(Debug)]
pub(crate) struct Options {
    /// Directory of what must survive a reboot.
    pub(crate) root: PathBuf,
    /// Directory of what ends with the boot.
    pub(crate) state: PathBuf,
    /// Socket to serve gRPC on.
    pub(crate) address: PathBuf,
    /// Socket to take events of shims on.
    pub(crate) ttrpc_address: PathBuf,
    /// Who may connect to the two, beside root.
    pub(crate) owners: Owners,
    /// The file that was read.
    pub(crate) config: Option<PathBuf>,
    /// Least level to log.
    pub(crate) log_level: Level,
    /// How lines of the log look.
    pub(crate) log_format: Format,
    /// How likely the kernel is to kill us when memory runs out.
    pub(crate) oom_score: Option<i16>,
    /// Without these plugins we must not start.
    pub(crate) required_plugins: Vec<String>,
    /// These plugins should be off.
    pub(crate) disabled_plugins: Vec<String>,
    /// Where clients install shims and runtimes.
    pub(crate) opt: Option<PathBuf>,
    /// What to do instead of serving.
    pub(crate) command: Option<Command>,
    /// Keys of the configuration file that mean nothing here.
    pub(crate) unknown: Vec<String>,
}

/// The owners of our sockets, where they are not our own user and group.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Owners {
    pub(crate) grpc: Owner,
    pub(crate) ttrpc: Owner,
}

/// A user and a group.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Owner {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

impl From<&Socket> for Owner {
    fn from(socket: &Socket) -> Self {
        Self { uid: socket.uid, gid: socket.gid }
    }
}

impl Options {
    /// What holds when nothing is said, as a configuration file.
    pub(crate) fn defaults() -> Document {
        Document::defaults(ROOT.as_ref(), STATE.as_ref(), ADDRESS.as_ref())
    }

    /// Reads the command line, and the file that it names. Ends the process on `--help` and on wrong flags.
    pub(crate) fn load() -> Result<Self, ConfigError> {
        Self::resolve(Flags::parse())
    }

    fn resolve(flags: Flags) -> Result<Self, ConfigError> {
        let file = flags.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        let path = |flag: Option<PathBuf>, file: Option<PathBuf>, default: &str| {
            flag.or(file).unwrap_or_else(|| default.into())
        };
        let owners = Owners {
            grpc: Owner::from(&file.grpc),
            // As in containerd, it follows the other where nothing is said of it.
            ttrpc: Owner { uid: file.ttrpc.uid.or(file.grpc.uid), gid: file.ttrpc.gid.or(file.grpc.gid) },
        };
        let address = plain(path(flags.address, file.grpc.address, ADDRESS));
        let ttrpc_address = file.ttrpc.address.map(plain).unwrap_or_else(|| {
            let mut beside = address.as_os_str().to_owned();
            beside.push(".ttrpc");
            beside.into()
        });
        Ok(Self {
            root: path(flags.root, file.root, ROOT),
            state: path(flags.state, file.state, STATE),
            address,
            ttrpc_address,
            owners,
            config: flags.config,
            log_format: file.log_format,
            oom_score: file.oom_score,
            required_plugins: file.required_plugins,
            disabled_plugins: file.disabled_plugins,
            opt: file.opt,
            log_level: flags.log_level.or(file.log_level).unwrap_or(Level::Info),
            command: flags.command,
            unknown: file.unknown,
        })
    }
}

/// The path of a socket that may be written as clients write it.
fn plain(address: PathBuf) -> PathBuf {
    let path = address.to_str().and_then(|address| address.strip_prefix("unix://"));
    path.map(PathBuf::from).unwrap_or(address)
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
    /// Show configurations as files
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// Which configuration to show.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// What holds when nothing is said
    Default,
    /// What holds with --config and what that imports
    Dump,
    /// The file of --config in the newest version
    Migrate,
}

/// Questions about garbage collection.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Gc {
    /// Show what keeps an object: the way to it from a root
    Why {
        /// Namespace of the object
        #[arg(long, short, default_value = dhow_proto::namespace::DEFAULT)]
        namespace: String,
        /// Kind of the object: image, content, snapshot, container, sandbox, ingest, lease, mount
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
        let flags = Flags::try_parse_from(line.split(' ')).expect("containerd's flags");
        let options = Options::resolve(flags).expect("no file");
        assert_eq!(options.root, PathBuf::from("/r"));
        assert_eq!(options.address, PathBuf::from("/a.sock"));
        assert_eq!(options.ttrpc_address, PathBuf::from("/a.sock.ttrpc"));
        assert_eq!(options.log_level, Level::Debug);
        let flags = Flags::try_parse_from(["dhow-supervisor", "-a", "unix:///u.sock"]).expect("flags");
        assert_eq!(Options::resolve(flags).expect("no file").ttrpc_address, PathBuf::from("/u.sock.ttrpc"));
        for version in ["-v", "-V", "--version"] {
            let asked = Flags::try_parse_from(["dhow-supervisor", version]).expect_err("the version");
            assert_eq!(asked.kind(), clap::error::ErrorKind::DisplayVersion, "{version}");
        }
        let error = Flags::try_parse_from(["dhow-supervisor", "--wrong"]).expect_err("unknown");
        assert!(error.to_string().contains("--wrong"), "{error}");
    }

    #[test]
    fn flags_win_over_the_file() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "root = '/file'\nstate = '/state'\ntemp = '/t'").expect("write");
        let path = path.to_str().expect("UTF-8");
        let flags = Flags::try_parse_from(["dhow-supervisor", "--config", path, "--root", "/flag"]);
        let options = Options::resolve(flags.expect("flags")).expect("file");
        assert_eq!((options.root, options.state), ("/flag".into(), "/state".into()));
        assert_eq!(options.unknown, ["temp"]);
    }
}
