//! The global flags, before the verb.

mod words;
mod wrong;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::command::{Call, Entry, VERBS};
use crate::log::Format;
use words::{Flags, WordError};

/// The order that readers of runc's help know, below the name.
const HELP: &str = " - {about}\n\nUSAGE:\n   {usage}\n\n{all-args}";

/// Open Container Initiative runtime
#[derive(Parser)]
#[command(name = "runc", disable_version_flag = true)]
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
    /// The verb, ready to be carried out.
    #[arg(skip)]
    pub(crate) verb: Option<Call>,
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

/// The command line cannot be understood, or asks for help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UsageError {
    /// The program has no such verb.
    #[error("No help topic for '{0}'")]
    Verb(String),
    /// A flag.
    #[error(transparent)]
    Word(#[from] WordError),
    /// Anything else, or an answer.
    #[error(transparent)]
    Clap(#[from] clap::Error),
}

impl Options {
    /// Reads the command line.
    pub(crate) fn read() -> Result<Self, UsageError> {
        let mut words = std::env::args_os();
        let called = words.next().unwrap_or_default();
        let program = Path::new(&called).file_name().unwrap_or(&called).to_string_lossy().into_owned();
        let definition = Self::definition();
        let mut global = Flags::of(&definition);
        let first = words::sort(&mut words, std::slice::from_mut(&mut global), 1)?;
        let mut words = first.into_iter().chain(words).peekable();
        let asked = words.next_if(|word| word == "help" || word == "h").is_some();
        let Some(name) = words.next() else {
            return Self::without_verb(global.found);
        };
        let entry = VERBS.iter().find(|entry| name == entry.name);
        let entry = entry.ok_or_else(|| UsageError::Verb(name.to_string_lossy().into_owned()))?;
        let verb = entry.define().help_template(format!("NAME:\n   {program} {}{HELP}", entry.name));
        let mut places = [Flags::of(&verb), global];
        let mut positional = words::sort(&mut words, &mut places, words::own_positionals(&verb))?;
        words.next_if(|word| word == "--");
        positional.extend(words);
        let [mut own, global] = places.map(|flags| flags.found);
        if asked {
            own.push("--help".into());
        }
        own.push("--".into());
        own.extend(positional);
        let options = Self::from_arg_matches(&matches(definition, global)?)?;
        let verb = verb.bin_name(format!("runc {}", entry.name));
        let call = matches(verb.clone(), own).and_then(|found| entry.read(&found));
        let call = call.or_else(|error| wrong::call(&called.to_string_lossy(), &verb, error))?;
        Ok(Self { verb: Some(call), ..options })
    }

    /// Without a verb there is nothing but to help, or to tell the version.
    fn without_verb(mut flags: Vec<OsString>) -> Result<Self, UsageError> {
        if !flags.iter().any(|flag| flag == "--version") {
            flags.push("--help".into());
        }
        let command = Self::definition().subcommands(VERBS.iter().map(Entry::announce));
        Ok(Self::from_arg_matches(&matches(command, flags)?)?)
    }

    /// The global flags.
    fn definition() -> clap::Command {
        Self::command().help_template(format!("NAME:\n   {{name}}{HELP}"))
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

/// What clap finds in `words`, of which the last one of a kind counts: callers put flags together from several places.
fn matches(command: clap::Command, words: Vec<OsString>) -> Result<clap::ArgMatches, clap::Error> {
    command.no_binary_name(true).args_override_self(true).try_get_matches_from(words)
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
