//! The query of a request, read as Go's handlers read it.

use std::str::FromStr;

use super::error::HttpError;

/// Parameters in their order; a name may repeat.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what follows the `?`.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (plain(n), plain(v)))
                .collect(),
        )
    }

    /// The first value of a parameter; empty when it is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Every value of a parameter.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a parameter is there at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// A switch: on unless empty, `0`, `no`, `false` or `none`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name).trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A switch that is on when absent.
    pub(crate) fn flag_or_on(&self, name: &str) -> bool {
        !self.has(name) || self.flag(name)
    }

    /// A number; `None` when absent or empty.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, HttpError> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                HttpError::invalid(format!("invalid value {text:?} of parameter {name}: not a number"))
            }),
        }
    }
}

/// `text` with its percent escapes resolved, and `+` for a space.
fn plain(text: &str) -> String {
    unescape(&text.replace('+', " "))
}

/// `text` with its percent escapes resolved; what is no escape stays.
pub(crate) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_and_switches_read_as_go_does() {
        let query = Query::parse("a=x%20y+z&b=0&c=False&d&e=1&f=%7B%22k%22%3A1%7D&g=%zz&e=2");
        assert_eq!(query.text("a"), "x y z");
        assert!(
            !query.flag("b")
                && !query.flag("c")
                && !query.flag("d")
                && query.flag("e")
                && !query.flag("missing")
        );
        assert!(query.flag_or_on("missing") && !query.flag_or_on("b") && !query.flag_or_on("d"));
        assert_eq!(query.text("f"), "{\"k\":1}");
        assert_eq!(query.text("g"), "%zz");
        assert_eq!(query.values("e"), ["1", "2"]);
        assert_eq!(query.number::<u32>("e").expect("number"), Some(1));
        assert!(query.number::<u32>("a").is_err());
    }
}
