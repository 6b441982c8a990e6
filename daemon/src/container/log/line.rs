//! One line of a log.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A line as the shim wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    /// The text, with its line end unless it is a part of a longer line.
    pub(super) log: String,
    pub(super) stream: String,
    pub(super) time: String,
    pub(super) attrs: BTreeMap<String, String>,
}

impl Line {
    /// The text that a client gets.
    pub(super) fn render(&self, timestamps: bool, details: bool) -> Vec<u8> {
        let mut text = String::with_capacity(self.log.len() + 64);
        if timestamps {
            text.push_str(&fixed(&self.time));
            text.push(' ');
        }
        if details {
            let pairs: Vec<String> = self
                .attrs
                .iter()
                .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
                .collect();
            text.push_str(&pairs.join(","));
            text.push(' ');
        }
        text.push_str(&self.log);
        text.into_bytes()
    }
}

/// A time with nine digits of a second, so that lines stay aligned.
fn fixed(time: &str) -> String {
    crate::time::parse(time).map_or_else(|| time.to_owned(), |time| format!("{time:.9}"))
}

/// As in the query of a URL.
fn escape(text: &str) -> String {
    let one = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_rendered_as_asked() {
        let line = Line {
            log: "hi\n".into(),
            time: "2026-11-21T20:52:10.5Z".into(),
            attrs: [("a b".to_owned(), "c,d".to_owned()), ("x".to_owned(), String::new())].into(),
            ..Line::default()
        };
        let text = |timestamps, details| String::from_utf8(line.render(timestamps, details)).expect("text");
        assert_eq!(text(false, false), "hi\n");
        assert_eq!(text(true, false), "2026-11-21T20:52:10.500000000Z hi\n");
        assert_eq!(text(false, true), "a+b=c%2Cd,x= hi\n");
    }
}
