//! The global flags, before the verb.

use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::command::Command;
use crate::log::Format;

/// The order that readers of runc's help know, below the name.
const HELP: &str = " - {about}\n\nUSAGE:\n   {usage}\n\n{all-args}";

/// Open Container Initiative runtime
#[derive(Debug, Parser)]
#[command(
    name = "runc",
    disable_version_flag = true,
    arg_required_else_help = true,
    disable_help_subcommand = false
)]
pub(crate) struct Options {
    /// enable debug logging
    #[arg(long)]
    pub(crate) debug: bool,
    /// set the log file to write runc logs to (default is '/dev/stderr')
    #[arg(long)]
    pub(crate) log: Option<PathBuf>,
    /// set the log format ('text' (default), or 'json')
    #[arg(long, default_value = "text")]
    pub(crate) log_format: String,
    /// root directory for storage of container state (this should be located in tmpfs)
    #[arg(long)]
    root: Option<PathBuf>,
    /// enable systemd cgroup support, expects cgroupsPath to be of form "slice:prefix:name" for e.g.
    /// "system.slice:runc:434234"
    #[arg(long)]
    systemd_cgroup: bool,
    /// ignore cgroup permission errors ('true', 'false', or 'auto')
    #[arg(long, default_value = "auto")]
    rootless: String,
    /// append what each step of the verb took to a file, as lines of JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// print the version
    #[arg(long, short)]
    pub(crate) version: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What every verb needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Global {
    /// Where containers are kept.
    pub(crate) root: PathBuf,
    /// Whether the caller named the root.
    pub(crate) root_given: bool,
    /// Whether systemd makes cgroups.
    pub(crate) systemd_cgroup: bool,
    /// Whether cgroups that the caller has no right to are no error.
    pub(crate) rootless_cgroups: bool,
}

/// A global flag with a value that is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionError {
    /// `--log-format`.
    #[error("invalid log-format: {0}")]
    Format(String),
    /// `--root`.
    #[error("Option --root argument should not be set to /")]
    Root,
    /// `--rootless`.
    #[error("invalid value for --rootless: {0:?}")]
    Rootless(String),
    /// A relative root without a working directory.
    #[error("resolve --root")]
    Resolve(#[source] std::io::Error),
}

impl Options {
    /// Reads the command line.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let called = std::env::args_os().next().unwrap_or_default();
        let program = Path::new(&called).file_name().unwrap_or(&called).to_string_lossy().into_owned();
        // Callers put flags together from several places: the last one counts.
        let command = Self::command().args_override_self(true);
        let command = command.help_template(format!("NAME:\n   {{name}}{HELP}"));
        let command = command.mut_subcommands(|verb| {
            let help = format!("NAME:\n   {program} {}{HELP}", verb.get_name());
            verb.help_template(help)
        });
        Self::from_arg_matches(&command.try_get_matches()?)
    }

    /// The log format.
    pub(crate) fn format(&self) -> Result<Format, OptionError> {
        match self.log_format.as_str() {
            "" | "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            other => Err(OptionError::Format(other.to_owned())),
        }
    }

    /// Checks and completes the flags.
    pub(crate) fn global(&self) -> Result<Global, OptionError> {
        let privileged = rustix::process::geteuid().is_root();
        let root = match &self.root {
            Some(root) => std::path::absolute(root).map_err(OptionError::Resolve)?,
            None => default_root(privileged),
        };
        if root.components().count() <= 1 {
            return Err(OptionError::Root);
        }
        let rootless_cgroups = match self.rootless.to_lowercase().as_str() {
            "" | "auto" => !privileged || in_user_namespace(),
            "true" | "t" | "1" => true,
            "false" | "f" | "0" => false,
            _ => return Err(OptionError::Rootless(self.rootless.clone())),
        };
        Ok(Global {
            root,
            root_given: self.root.is_some(),
            systemd_cgroup: self.systemd_cgroup,
            rootless_cgroups,
        })
    }
}

/// `/run/runc` as that is where engines look, or the user's own.
fn default_root(privileged: bool) -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !privileged && !folder.is_empty());
    own.map_or_else(|| PathBuf::from("/run/runc"), |folder| PathBuf::from(folder).join("runc"))
}

/// Whether some IDs of the host have no place here.
fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let whole: Vec<&str> = map.split_whitespace().collect();
    !map.is_empty() && whole != ["0", "0", "4294967295"]
}
