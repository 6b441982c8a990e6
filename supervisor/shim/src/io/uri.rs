//! The stdio URIs of Create and Exec, parsed.
//!
//! ```text
//! ""  PATH  fifo://PATH                     nothing; a FIFO (or a file, when the path is one)
//! file://PATH                               appended to a file
//! binary://PATH?arg=value  binary-v2://…    a logging process (fds 3, 4: output; 5: readiness)
//! json-file://LOG?max-size=&max-file=&attach=SOCKET&attrs=JSON   docker's log file, written by the shim
//! attach://SOCKET?once=true                 only live copies on a socket
//! ```

use std::path::PathBuf;

use serde_json::value::RawValue;

const SCHEMES: [&str; 6] = ["fifo", "file", "binary", "binary-v2", "json-file", "attach"];

/// Where one stream of a process comes from or goes to.
#[derive(Debug)]
pub(crate) enum Target {
    Null,
    Fifo(PathBuf),
    File(PathBuf),
    Binary(Logger),
    JsonFile { log: LogOptions, attach: Option<PathBuf> },
    Attach { socket: PathBuf, once: bool },
}

/// A logging process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Logger {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Whether closing the readiness pipe without a byte is a failure (`binary-v2`).
    pub(crate) strict: bool,
}

/// A json-file log.
#[derive(Debug)]
pub(crate) struct LogOptions {
    pub(crate) path: PathBuf,
    /// Rotated before the line that would be written at or past this size; 0 is never.
    pub(crate) max_size: u64,
    /// How many files there may be, the current one included.
    pub(crate) max_files: u32,
    /// The `attrs` object of each line.
    pub(crate) attrs: Option<Box<RawValue>>,
}

/// Why a stdio URI was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UriError {
    #[error("unknown STDIO scheme {0}")]
    Scheme(String),
    #[error("stdio URI {0:?} has no absolute path")]
    Path(String),
    #[error("unknown parameter {name:?} in stdio URI {uri:?}")]
    Parameter { uri: String, name: String },
    #[error("parameter {name} of stdio URI {uri:?} cannot be {value:?}")]
    Value { uri: String, name: &'static str, value: String },
}

impl Target {
    /// Parses the URI of one stream.
    pub(crate) fn parse(uri: &str) -> Result<Self, UriError> {
        if uri.is_empty() {
            return Ok(Self::Null);
        }
        let Some((scheme, rest)) = uri.split_once("://") else { return Ok(Self::Fifo(uri.into())) };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = PathBuf::from(decode(path, false));
        if !SCHEMES.contains(&scheme) {
            return Err(UriError::Scheme(scheme.to_owned()));
        }
        if !path.is_absolute() {
            return Err(UriError::Path(uri.to_owned()));
        }
        let parameters = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        match scheme {
            "fifo" => Ok(Self::Fifo(path)),
            "file" => Ok(Self::File(path)),
            "binary" | "binary-v2" => {
                let args = parameters.flat_map(|(name, value)| [name, value]).collect();
                Ok(Self::Binary(Logger { program: path, args, strict: scheme == "binary-v2" }))
            }
            "json-file" => json_file(uri, path, parameters),
            _ => attach(uri, path, parameters),
        }
    }
}

fn json_file(
    uri: &str,
    path: PathBuf,
    parameters: impl Iterator<Item = (String, String)>,
) -> Result<Target, UriError> {
    let mut log = LogOptions { path, max_size: 0, max_files: 1, attrs: None };
    let mut socket = None;
    for (name, value) in parameters {
        let bad = |name| UriError::Value { uri: uri.to_owned(), name, value: value.clone() };
        match name.as_str() {
            "max-size" => log.max_size = value.parse().map_err(|_| bad("max-size"))?,
            "max-file" => {
                log.max_files =
                    value.parse().ok().filter(|&count| count > 0).ok_or_else(|| bad("max-file"))?;
            }
            "attach" => socket = Some(PathBuf::from(&value)).filter(|path| path.is_absolute()),
            "attrs" => {
                let object =
                    serde_json::from_str::<serde_json::Map<_, _>>(&value).map_err(|_| bad("attrs"))?;
                log.attrs = serde_json::value::to_raw_value(&object).ok().filter(|_| !object.is_empty());
            }
            _ => return Err(UriError::Parameter { uri: uri.to_owned(), name }),
        }
    }
    Ok(Target::JsonFile { log, attach: socket })
}

fn attach(
    uri: &str,
    socket: PathBuf,
    parameters: impl Iterator<Item = (String, String)>,
) -> Result<Target, UriError> {
    let mut once = false;
    for (name, value) in parameters {
        match (name.as_str(), value.as_str()) {
            ("once", "true" | "1") => once = true,
            ("once", "false" | "0") => once = false,
            ("once", _) => return Err(UriError::Value { uri: uri.to_owned(), name: "once", value }),
            _ => return Err(UriError::Parameter { uri: uri.to_owned(), name }),
        }
    }
    Ok(Target::Attach { socket, once })
}

/// Undoes percent-encoding, and in queries `+` for a space; what is not well formed stays as it is.
fn decode(text: &str, query: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()))
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if query && first == b'+' { b' ' } else { first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containerds_forms() {
        assert!(matches!(Target::parse(""), Ok(Target::Null)));
        assert!(
            matches!(Target::parse("/run/x/1-stdout"), Ok(Target::Fifo(path)) if path.ends_with("1-stdout"))
        );
        assert!(
            matches!(Target::parse("fifo:///run/a%20b"), Ok(Target::Fifo(path)) if path.ends_with("a b"))
        );
        assert!(matches!(Target::parse("file:///var/log/x"), Ok(Target::File(_))));
        let Ok(Target::Binary(logger)) = Target::parse("binary-v2:///bin/log?id=a%26b&-v=") else { panic!() };
        assert_eq!(logger.args, ["id", "a&b", "-v", ""]);
        assert!(logger.strict);
        assert!(matches!(Target::parse("npipe:////./pipe/x"), Err(UriError::Scheme(_))));
        assert!(matches!(Target::parse("ftp://x"), Err(UriError::Scheme(_))));
        assert!(matches!(Target::parse("file://relative"), Err(UriError::Path(_))));
    }

    #[test]
    fn a_json_file_with_everything() {
        let uri = "json-file:///l/x-json.log?max-size=1024&max-file=3&attach=%2Fr%2Fa.sock&attrs=%7B%22a%22%3A%22b%22%7D";
        let Ok(Target::JsonFile { log, attach }) = Target::parse(uri) else { panic!() };
        assert_eq!((log.max_size, log.max_files), (1024, 3));
        assert_eq!(log.attrs.expect("attrs").get(), r#"{"a":"b"}"#);
        assert_eq!(attach.expect("socket"), PathBuf::from("/r/a.sock"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for uri in [
            "json-file:///l?max-size=1k",
            "json-file:///l?max-file=0",
            "json-file:///l?attrs=[1]",
            "json-file:///l?colour=red",
            "attach:///s?once=maybe",
            "attach:///s?twice=true",
        ] {
            assert!(Target::parse(uri).is_err(), "{uri}");
        }
    }
}
