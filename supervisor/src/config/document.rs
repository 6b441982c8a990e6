//! Configuration files as documents: reading with imports, defaults, and moving to the newest version.

use std::path::{Path, PathBuf};

use dhow_linux::file::read_limited;
use toml::{Table, Value};

use super::ConfigError;

/// A configuration longer than this is none.
const LIMIT: u64 = 1 << 20;
/// How many files one may import, with all that those import.
pub(super) const IMPORT_LIMIT: usize = 64;
/// The version that we write.
const VERSION: i64 = 3;

/// The names that plugins had in version 1.
const SHORT_NAMES: [(&str, &str); 10] = [
    ("aufs", "io.containerd.snapshotter.v1.aufs"),
    ("btrfs", "io.containerd.snapshotter.v1.btrfs"),
    ("cgroups", "io.containerd.monitor.v1.cgroups"),
    ("cri", "io.containerd.grpc.v1.cri"),
    ("devmapper", "io.containerd.snapshotter.v1.devmapper"),
    ("diff-service", "io.containerd.service.v1.diff-service"),
    ("linux", "io.containerd.runtime.v1.linux"),
    ("opt", "io.containerd.internal.v1.opt"),
    ("restart", "io.containerd.internal.v1.restart"),
    ("scheduler", "io.containerd.gc.v1.scheduler"),
];

/// A configuration as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document(pub(super) Table);

impl Document {
    /// Reads the file at `path`, and over it what it imports.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut read = Vec::new();
        let mut table = Table::new();
        let mut waiting = vec![path.to_owned()];
        while let Some(next) = waiting.pop() {
            if read.contains(&next) {
                continue;
            }
            if read.len() > IMPORT_LIMIT {
                return Err(ConfigError::Imports(path.to_owned()));
            }
            let one = parse(&next)?;
            waiting.extend(imports(&next, &one)?.into_iter().rev());
            merge(&mut table, one);
            read.push(next);
        }
        Ok(Self(table))
    }

    /// What holds when nothing is said: the paths of `root`, `state` and `address`.
    pub(crate) fn defaults(root: &Path, state: &Path, address: &Path) -> Self {
        let text = |path: &Path| Value::String(path.to_string_lossy().into_owned());
        let socket = |address: Value| {
            let zero = || Value::Integer(0);
            table([("address", address), ("uid", zero()), ("gid", zero())])
        };
        let opt = table([("path", text(&root.join("opt")))]);
        let mut ttrpc = address.as_os_str().to_owned();
        ttrpc.push(".ttrpc");
        let empty = || Value::Array(Vec::new());
        let level = [("level", "info"), ("format", "text")];
        let level = level.map(|(key, value)| (key, Value::String(value.to_owned())));
        let document = table([
            ("version", Value::Integer(VERSION)),
            ("root", text(root)),
            ("state", text(state)),
            ("disabled_plugins", empty()),
            ("required_plugins", empty()),
            ("oom_score", Value::Integer(0)),
            ("imports", empty()),
            ("grpc", socket(text(address))),
            ("ttrpc", socket(text(Path::new(&ttrpc)))),
            ("debug", table(level)),
            ("plugins", table([("io.containerd.internal.v1.opt", opt)])),
        ]);
        match document {
            Value::Table(table) => Self(table),
            _ => Self(Table::new()),
        }
    }

    /// This document with all that `other` says over it.
    pub(crate) fn overlaid(mut self, other: Self) -> Self {
        merge(&mut self.0, other.0);
        self.0.insert("version".to_owned(), Value::Integer(VERSION));
        self
    }

    /// The text of a file.
    pub(crate) fn text(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(&self.0)
    }
}

/// The document in the newest version: plugins under their whole names.
pub(crate) fn migrate(document: Document) -> Document {
    let Document(mut table) = document;
    let version = table.get("version").and_then(Value::as_integer).unwrap_or(1);
    if version < 2 {
        if let Some(Value::Table(plugins)) = table.get_mut("plugins") {
            for (short, whole) in SHORT_NAMES {
                if let Some(settings) = plugins.remove(short) {
                    plugins.insert(whole.to_owned(), settings);
                }
            }
        }
        for list in ["disabled_plugins", "required_plugins"] {
            for name in table.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let whole = SHORT_NAMES.iter().find(|(short, _)| name.as_str() == Some(short));
                if let Some((_, whole)) = whole {
                    *name = Value::String((*whole).to_owned());
                }
            }
        }
    }
    table.insert("version".to_owned(), Value::Integer(version.max(VERSION)));
    Document(table)
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn parse(path: &Path) -> Result<Table, ConfigError> {
    let text =
        String::from_utf8(read_limited(path, LIMIT)?).map_err(|_| ConfigError::Text(path.to_owned()))?;
    let parsed: Table = toml::from_str(&text)
        .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
    // Looked at here, since it decides how the rest is read.
    if parsed.get("version").is_some_and(|version| !matches!(version.as_integer(), Some(1..=4))) {
        let (path, key) = (path.to_owned(), "version".to_owned());
        return Err(ConfigError::Value { path, key, expected: "a number up to 4" });
    }
    Ok(migrate(Document(parsed)).0)
}

/// The files that `table`, read from `path`, imports: beside it, unless a path is absolute; `*` stands for any part of
/// a file's name.
fn imports(path: &Path, table: &Table) -> Result<Vec<PathBuf>, ConfigError> {
    let Some(value) = table.get("imports") else { return Ok(Vec::new()) };
    let refuse = || ConfigError::Value {
        path: path.to_owned(),
        key: "imports".to_owned(),
        expected: "a list of paths",
    };
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut files = Vec::new();
    for import in value.as_array().ok_or_else(refuse)? {
        let import = folder.join(import.as_str().ok_or_else(refuse)?);
        let name = import.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match name.split_once('*') {
            None => files.push(import),
            Some((before, after)) => {
                let folder = import.parent().unwrap_or_else(|| Path::new("/"));
                let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
                let mut found: Vec<PathBuf> = entries
                    .filter(|entry| {
                        let name = entry.file_name();
                        let name = name.to_string_lossy();
                        name.len() >= before.len() + after.len()
                            && name.starts_with(before)
                            && name.ends_with(after)
                    })
                    .map(|entry| entry.path())
                    .collect();
                found.sort();
                files.extend(found);
            }
        }
    }
    Ok(files)
}

/// Lays `over` on `table`: tables are merged, lists of plugins joined, everything else replaced.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if key.ends_with("_plugins") => {
                below.extend(above.into_iter().filter(|one| !below.contains(one)).collect::<Vec<_>>());
            }
            (_, value) => drop(table.insert(key, value)),
        }
    }
}
