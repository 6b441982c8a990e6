//! Container ids: names that can safely be one path component.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An id that was checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ContainerId(String);

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidId {
    /// It is none at all.
    #[error("container id cannot be empty")]
    Empty,
    /// It is no single path component of plain letters.
    #[error("invalid container ID format")]
    Format,
}

impl ContainerId {
    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
        if text.is_empty() {
            return Err(InvalidId::Empty);
        }
        if text.len() > 255 || matches!(text, "." | "..") || !text.bytes().all(allowed) {
            return Err(InvalidId::Format);
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_single_path_components_of_plain_letters_are_ids() {
        for good in ["a", "A-b_c+1.2", "..."] {
            assert!(good.parse::<ContainerId>().is_ok(), "{good}");
        }
        assert_eq!("".parse::<ContainerId>(), Err(InvalidId::Empty));
        for bad in [".", "..", "a/b", "a b", "ä", "a\0", &"x".repeat(256)] {
            assert_eq!(bad.parse::<ContainerId>(), Err(InvalidId::Format), "{bad}");
        }
    }
}
