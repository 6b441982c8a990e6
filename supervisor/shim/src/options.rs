//! The command line, in Go's form: one dash or two, a value after a space or `=`.

use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) version: bool,
    pub(crate) info: bool,
    pub(crate) debug: bool,
    pub(crate) namespace: String,
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) publish_binary: String,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) action: Option<String>,
}

/// Why a command line was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum OptionsError {
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    #[error("flag needs an argument: -{0}")]
    NoValue(String),
    #[error("invalid boolean value {value:?} for -{name}")]
    NoBoolean { name: String, value: String },
}

impl Options {
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let Some(flag) =
                arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|flag| !flag.is_empty())
            else {
                options.action = Some(arg);
                break;
            };
            let (name, inline) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let mut value = |inline: Option<String>| {
                inline.or_else(|| args.next()).ok_or_else(|| OptionsError::NoValue(name.to_owned()))
            };
            match name {
                "v" | "version" => options.version = boolean(name, inline)?,
                "info" => options.info = boolean(name, inline)?,
                "debug" => options.debug = boolean(name, inline)?,
                "namespace" => options.namespace = value(inline)?,
                "id" => options.id = value(inline)?,
                "address" => options.address = value(inline)?,
                "publish-binary" => options.publish_binary = value(inline)?,
                "socket" => options.socket = Some(value(inline)?.into()),
                "bundle" => options.bundle = Some(value(inline)?.into()),
                // Taken, as containerd may give it; this shim has no profiler to serve there.
                "debug-socket" => drop(value(inline)?),
                _ => return Err(OptionsError::Unknown(name.to_owned())),
            }
        }
        Ok(options)
    }
}

fn boolean(name: &str, value: Option<String>) -> Result<bool, OptionsError> {
    match value.as_deref() {
        None | Some("true" | "1" | "t") => Ok(true),
        Some("false" | "0" | "f") => Ok(false),
        Some(value) => Err(OptionsError::NoBoolean { name: name.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, OptionsError> {
        Options::parse(line.split(' ').map(str::to_owned))
    }

    #[test]
    fn containerds_command_line() {
        let options =
            parse("-namespace default -address=/run/c.sock --publish-binary /bin/c -id x -debug start")
                .expect("valid");
        assert_eq!((options.namespace.as_str(), options.id.as_str()), ("default", "x"));
        assert_eq!(options.address, "/run/c.sock");
        assert!(options.debug);
        assert_eq!(options.action.as_deref(), Some("start"));
    }

    #[test]
    fn what_is_unknown_is_named() {
        assert_eq!(parse("-colour red"), Err(OptionsError::Unknown("colour".to_owned())));
        assert_eq!(parse("-id"), Err(OptionsError::NoValue("id".to_owned())));
        assert!(parse("-debug=maybe").is_err());
    }
}
