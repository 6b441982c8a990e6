//! Where the output of a process goes: the addresses that its shim is given.

use std::collections::BTreeMap;
use std::path::Path;

use dhow_proto::error::Kind;

use super::record::Record;
use crate::error::Failure;

/// A log option that cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogOptionError {
    #[error("logger: no log driver named '{0}' is registered")]
    Driver(String),
    #[error("unknown log opt '{option}' for {driver} log driver")]
    Unknown { driver: String, option: String },
    #[error("invalid value {value:?} for log opt '{option}'")]
    Value { option: &'static str, value: String },
}

impl Failure for LogOptionError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// The addresses of one process's streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stdio {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How the json-file driver keeps a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct LogOptions {
    max_size: Option<u64>,
    max_file: Option<u64>,
    attributes: BTreeMap<String, String>,
}

impl Stdio {
    /// For a container's first process: its log, and live copies at `socket`.
    pub(crate) fn of_container(
        record: &Record,
        log: Option<&Path>,
        socket: &Path,
    ) -> Result<Self, LogOptionError> {
        let attach = format!("attach://{}", socket.display());
        let output = match log {
            None => attach.clone(),
            Some(log) => json_file(log, socket, &options(record)?),
        };
        Ok(Self {
            stdin: match (record.config.open_stdin, record.config.stdin_once && !record.config.tty) {
                (false, _) => String::new(),
                (true, false) => attach,
                (true, true) => format!("{attach}?once=true"),
            },
            stderr: if record.config.tty { String::new() } else { output.clone() },
            stdout: output,
        })
    }

    /// For a further process: only the streams that somebody attaches to.
    pub(crate) fn of_exec(socket: &Path, terminal: bool, stdin: bool, stdout: bool, stderr: bool) -> Self {
        let attach =
            |wanted: bool| if wanted { format!("attach://{}", socket.display()) } else { String::new() };
        let once = if terminal { "" } else { "?once=true" };
        let input = if stdin { format!("attach://{}{once}", socket.display()) } else { String::new() };
        Self { stdin: input, stdout: attach(stdout || terminal), stderr: attach(stderr && !terminal) }
    }
}

/// Checks the log driver of a container that is being created.
pub(crate) fn check(record: &Record) -> Result<(), LogOptionError> {
    let log = &record.host.log_config;
    match log.kind.as_str() {
        "json-file" => options(record).map(drop),
        "none" => log.config.iter().flatten().next().map_or(Ok(()), |(option, _)| {
            Err(LogOptionError::Unknown { driver: "none".to_owned(), option: option.clone() })
        }),
        driver => Err(LogOptionError::Driver(driver.to_owned())),
    }
}

fn options(record: &Record) -> Result<LogOptions, LogOptionError> {
    let mut options = LogOptions::default();
    for (option, value) in record.host.log_config.config.iter().flatten() {
        let wrong = |option| LogOptionError::Value { option, value: value.clone() };
        match option.as_str() {
            "max-size" => options.max_size = size(value).ok_or_else(|| wrong("max-size"))?,
            "max-file" => {
                let count = value.parse().ok().filter(|count| *count > 0);
                options.max_file = Some(count.ok_or_else(|| wrong("max-file"))?);
            }
            "labels" => options.attributes.extend(chosen(value, record.config.labels.iter().flatten())),
            "env" => {
                let env = record.config.env.iter().flatten().filter_map(|pair| pair.split_once('='));
                let env: BTreeMap<String, String> =
                    env.map(|(name, value)| (name.into(), value.into())).collect();
                options.attributes.extend(chosen(value, env.iter()));
            }
            "tag" => {
                options.attributes.insert("tag".to_owned(), tag(value, record));
            }
            _ => {
                let driver = "json-file".to_owned();
                return Err(LogOptionError::Unknown { driver, option: option.clone() });
            }
        }
    }
    Ok(options)
}

/// The pairs whose names are in a list with commas.
fn chosen<'a>(
    names: &str,
    pairs: impl Iterator<Item = (&'a String, &'a String)>,
) -> impl Iterator<Item = (String, String)> {
    let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
    let pairs = pairs.filter(move |(name, _)| names.contains(name));
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<_>>().into_iter()
}

/// The fields of Docker's tag templates.
fn tag(template: &str, record: &Record) -> String {
    let fields = [
        ("{{.ID}}", crate::identifier::short(&record.id)),
        ("{{.FullID}}", &record.id),
        ("{{.Name}}", &record.name),
        ("{{.ImageName}}", &record.config.image),
    ];
    fields.into_iter().fold(template.to_owned(), |text, (field, value)| text.replace(field, value))
}

/// `10m` in bytes; `-1` for no limit.
#[expect(clippy::option_option, reason = "no limit is a value; the outer None is no value at all")]
fn size(text: &str) -> Option<Option<u64>> {
    if text == "-1" {
        return Some(None);
    }
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(['b', 'i']);
    let (digits, shift) = match number.strip_suffix(['k', 'm', 'g', 't']) {
        Some(digits) => (digits, 10 * ("kmgt".find(&number[digits.len()..])? + 1)),
        None => (number, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|size| *size > 0).map(Some)
}

fn json_file(log: &Path, socket: &Path, options: &LogOptions) -> String {
    let mut address =
        format!("json-file://{}?attach={}", log.display(), escape(&socket.display().to_string()));
    for (name, value) in [("max-size", options.max_size), ("max-file", options.max_file)] {
        if let Some(value) = value {
            address.push_str(&format!("&{name}={value}"));
        }
    }
    if !options.attributes.is_empty() {
        let attributes = serde_json::to_string(&options.attributes).unwrap_or_default();
        address.push_str(&format!("&attrs={}", escape(&attributes)));
    }
    address
}

/// `text` with every byte that could end a parameter escaped.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(options: &[(&str, &str)]) -> Record {
        let mut record =
            Record::new("a".repeat(64), "web".into(), "i".into(), Default::default(), Default::default());
        record.host.log_config.kind = "json-file".to_owned();
        let pairs = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        record.host.log_config.config = Some(pairs.collect());
        record.config.labels = Some([("tier".to_owned(), "front&back".to_owned())].into());
        record
    }

    #[test]
    fn options_travel_in_the_address() {
        let record =
            record(&[("max-size", "10m"), ("max-file", "3"), ("labels", "tier,other"), ("tag", "{{.Name}}")]);
        let stdio = Stdio::of_container(&record, Some(Path::new("/l")), Path::new("/s")).expect("options");
        assert_eq!(
            stdio.stdout,
            "json-file:///l?attach=/s&max-size=10485760&max-file=3&attrs=%7B%22tag%22%3A%22web%22%2C%22tier%22%3A%22front%26back%22%7D"
        );
        assert_eq!((stdio.stdin.as_str(), &stdio.stderr), ("", &stdio.stdout));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        assert!(
            check(&record(&[("compress", "true")])).expect_err("unknown").to_string().contains("'compress'")
        );
        assert!(
            check(&record(&[("max-size", "x")])).is_err() && check(&record(&[("max-file", "0")])).is_err()
        );
        assert!(check(&record(&[("max-size", "-1")])).is_ok());
    }

    #[test]
    fn sizes_have_suffixes() {
        assert_eq!(size("10"), Some(Some(10)));
        assert_eq!(size("1k"), Some(Some(1024)));
        assert_eq!(size("2MB"), Some(Some(2 << 20)));
        assert_eq!(size("1GiB"), Some(Some(1 << 30)));
        assert_eq!((size("0"), size("k"), size("")), (None, None, None));
    }
}
