//! Query strings.

use std::collections::BTreeMap;

/// The parameters of a request.
#[derive(Debug, Default, Clone)]
pub(crate) struct Query(String);

impl Query {
    /// No parameters.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds `name=value`.
    pub(crate) fn set(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&escape(value.as_ref()));
        self
    }

    /// Adds `name=1` when `on`.
    pub(crate) fn flag(self, name: &str, on: bool) -> Self {
        if on { self.set(name, "1") } else { self }
    }

    /// Adds `name=value` unless the value is empty.
    pub(crate) fn text(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.set(name, value) }
    }

    /// Adds `filters` unless there are none.
    pub(crate) fn filters(self, filters: &Filters) -> Self {
        if filters.0.is_empty() {
            return self;
        }
        self.set("filters", filters.encode())
    }

    /// The text, from its question mark on; empty without parameters.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// `--filter key=value`, as the API wants them: `{"key":{"value":true}}`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, BTreeMap<String, bool>>);

impl Filters {
    /// Reads what `--filter` was given.
    pub(crate) fn parse(values: &[String]) -> Result<Self, String> {
        let mut filters = Self::default();
        for value in values.iter().filter(|value| !value.is_empty()) {
            let (key, value) = value.split_once('=').ok_or("bad format of filter (expected name=value)")?;
            filters.add(key.trim().to_lowercase(), value.trim());
        }
        Ok(filters)
    }

    /// Adds one.
    pub(crate) fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.entry(key.into()).or_default().insert(value.into(), true);
    }

    /// Whether something is filtered by `key`.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn encode(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// `text` with everything but the unreserved characters percent-encoded.
pub(crate) fn escape(text: &str) -> String {
    escape_but(text, b"-_.~")
}

/// `text` as a part of a path: slashes and colons stay.
pub(crate) fn escape_path(text: &str) -> String {
    escape_but(text, b"-_.~/:@")
}

fn escape_but(text: &str, kept: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Filters, Query};

    #[test]
    fn parameters() {
        let query = Query::new().set("name", "a b").flag("all", true).flag("size", false).text("x", "");
        assert_eq!(query.finish(), "?name=a%20b&all=1");
    }

    #[test]
    fn filters() {
        let filters = Filters::parse(&["status=running".into(), "Label = a=b".into()]);
        assert_eq!(
            filters.map(|filters| filters.encode()),
            Ok(r#"{"label":{"a=b":true},"status":{"running":true}}"#.into())
        );
        assert!(Filters::parse(&["x".into()]).is_err());
    }
}
