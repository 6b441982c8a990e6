//! What flags mean: parsers of their values, shared by the commands that have them.

pub(crate) mod capability;
pub(crate) mod container;
pub(crate) mod csv;
pub(crate) mod device;
pub(crate) mod env;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod number;
pub(crate) mod port;
pub(crate) mod reference;
pub(crate) mod restart;
pub(crate) mod security;
pub(crate) mod ulimit;
pub(crate) mod volume;

use std::collections::BTreeMap;

/// `key=value` words as a map; a word without `=` is a key with an empty value.
pub(crate) fn key_values(words: &[String]) -> BTreeMap<String, String> {
    words
        .iter()
        .map(|word| word.split_once('=').unwrap_or((word, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The list, unless it is empty: Docker sends `null` then.
pub(crate) fn list(words: Vec<String>) -> Option<Vec<String>> {
    (!words.is_empty()).then_some(words)
}

/// A platform `os[/arch[/variant]]` as the API takes it.
pub(crate) fn platform_json(text: &str) -> String {
    let mut parts = text.split('/');
    let mut platform = serde_json::Map::new();
    for key in ["os", "architecture", "variant"] {
        if let Some(part) = parts.next() {
            platform.insert(key.into(), part.into());
        }
    }
    serde_json::Value::Object(platform).to_string()
}

/// Refuses what is no `name=value`.
pub(crate) fn filter(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('=') {
        return Ok(text.to_owned());
    }
    Err("bad format of filter (expected name=value)".into())
}
