//! What each key means.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use dhow_proto::connect::MESSAGE_LIMIT;
use toml::{Table, Value};

use super::{Config, ConfigError, Document, Format, Socket};
use crate::options::Level;

/// Reads a value, and refuses others by the name of its key.
struct Reader<'a> {
    path: &'a Path,
    key: String,
    value: &'a Value,
}

impl Reader<'_> {
    fn refuse(&self, expected: &'static str) -> ConfigError {
        ConfigError::Value { path: self.path.to_owned(), key: self.key.clone(), expected }
    }

    /// A path; none when it is empty, which stands for the default.
    fn path(&self) -> Result<Option<PathBuf>, ConfigError> {
        let text = self.value.as_str().ok_or_else(|| self.refuse("a path"))?;
        Ok((!text.is_empty()).then(|| text.into()))
    }

    fn number<N: TryFrom<i64>>(&self, expected: &'static str) -> Result<N, ConfigError> {
        let number = self.value.as_integer().and_then(|number| N::try_from(number).ok());
        number.ok_or_else(|| self.refuse(expected))
    }

    fn names(&self) -> Result<Vec<String>, ConfigError> {
        let refuse = || self.refuse("a list of names");
        let list = self.value.as_array().ok_or_else(refuse)?;
        list.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(refuse)).collect()
    }

    /// Sets a key of a socket; whether it is one.
    fn socket(&self, name: &str, socket: &mut Socket) -> Result<bool, ConfigError> {
        match name {
            "address" => socket.address = self.path()?.or_else(|| socket.address.take()),
            "uid" => socket.uid = Some(self.number("a user ID")?),
            "gid" => socket.gid = Some(self.number("a group ID")?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the value asks for nothing: containerd writes all its keys out.
    fn is_empty(&self) -> bool {
        match self.value {
            Value::String(text) => text.is_empty(),
            Value::Integer(number) => *number == 0,
            Value::Boolean(flag) => !flag,
            Value::Array(list) => list.is_empty(),
            Value::Table(table) => table.is_empty(),
            Value::Float(_) | Value::Datetime(_) => false,
        }
    }
}

/// What `document`, read from `path`, says.
pub(super) fn interpret(path: &Path, document: &Document) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    for (names, value) in leaves(&document.0) {
        let reader = Reader { path, key: shown(&names), value };
        if !apply(&mut config, &names, &reader)? && !reader.is_empty() {
            config.unknown.push(reader.key);
        }
    }
    Ok(config)
}

/// Takes one key; whether it means something.
fn apply(config: &mut Config, names: &[&str], reader: &Reader<'_>) -> Result<bool, ConfigError> {
    match names {
        ["version" | "imports"] => {}
        ["grpc" | "ttrpc" | "debug" | "metrics" | "plugins" | "timeouts"] => {
            return Err(reader.refuse("a table"));
        }
        // What we take and send is limited to this, and nothing else.
        ["grpc", "max_recv_message_size" | "max_send_message_size"]
            if reader.value.as_integer() == i64::try_from(MESSAGE_LIMIT).ok() => {}
        ["root"] => config.root = reader.path()?,
        ["state"] => config.state = reader.path()?,
        ["oom_score"] => {
            let score = reader.number("a number from -1000 to 1000")?;
            if !(-1000..=1000).contains(&score) {
                return Err(reader.refuse("a number from -1000 to 1000"));
            }
            config.oom_score = Some(score).filter(|score| *score != 0);
        }
        ["required_plugins"] => config.required_plugins = reader.names()?,
        ["disabled_plugins"] => config.disabled_plugins = reader.names()?,
        ["grpc", name] | ["plugins", "io.containerd.server.v1.grpc", name] => {
            return reader.socket(name, &mut config.grpc);
        }
        ["ttrpc", name] | ["plugins", "io.containerd.server.v1.ttrpc", name] => {
            return reader.socket(name, &mut config.ttrpc);
        }
        // containerd writes an empty level for the default one.
        ["debug", "level" | "format"] if reader.value.as_str() == Some("") => {}
        ["debug", "level"] => {
            let level = reader.value.as_str().and_then(|level| Level::from_str(level, true).ok());
            config.log_level = Some(level.ok_or_else(|| reader.refuse("a level of the log"))?);
        }
        ["debug", "format"] => match reader.value.as_str() {
            Some("text") => config.log_format = Format::Text,
            Some("json") => config.log_format = Format::Json,
            _ => return Err(reader.refuse("text or json")),
        },
        ["plugins", "io.containerd.internal.v1.opt", "path"] => config.opt = reader.path()?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Every key with its value. The own tables of a plugin are one key, unless we know its keys.
fn leaves(table: &Table) -> Vec<(Vec<&str>, &Value)> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        let Some(inner) = value.as_table() else {
            leaves.push((vec![key.as_str()], value));
            continue;
        };
        for (name, value) in inner {
            match value.as_table() {
                Some(settings) if key == "plugins" && knows(name) => {
                    let all = settings.iter();
                    leaves.extend(all.map(|(setting, value)| {
                        (vec![key.as_str(), name.as_str(), setting.as_str()], value)
                    }));
                }
                _ => leaves.push((vec![key.as_str(), name.as_str()], value)),
            }
        }
    }
    leaves
}

/// Whether settings of a plugin mean something here.
fn knows(plugin: &str) -> bool {
    matches!(
        plugin,
        "io.containerd.internal.v1.opt" | "io.containerd.server.v1.grpc" | "io.containerd.server.v1.ttrpc"
    )
}

/// A key as it may be written: names with dots in quotes.
fn shown(names: &[&str]) -> String {
    let quoted = |name: &&str| if name.contains('.') { format!("{name:?}") } else { (*name).to_owned() };
    names.iter().map(quoted).collect::<Vec<_>>().join(".")
}
