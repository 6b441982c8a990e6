//! Versions of the Engine API.

use std::fmt;
use std::str::FromStr;

/// A version of the Engine API, `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ApiVersion(pub(crate) u16, pub(crate) u16);

impl ApiVersion {
    /// Newest version this client speaks.
    pub(crate) const NEWEST: Self = Self(1, 51);
    /// What a daemon that names no version speaks.
    pub(crate) const OLDEST: Self = Self(1, 24);
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The text is no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid API version {0:?}")]
pub(crate) struct ParseVersionError(String);

impl FromStr for ApiVersion {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || ParseVersionError(text.to_owned());
        let (major, minor) = text.trim_start_matches('v').split_once('.').ok_or_else(invalid)?;
        Ok(Self(major.parse().map_err(|_| invalid())?, minor.parse().map_err(|_| invalid())?))
    }
}

#[cfg(test)]
mod tests {
    use super::ApiVersion;

    #[test]
    fn order_is_numeric() {
        let parse = |text: &str| text.parse::<ApiVersion>();
        assert!(parse("1.9").expect("valid") < parse("1.41").expect("valid"));
        assert_eq!(parse("v1.50"), Ok(ApiVersion(1, 50)));
        assert!(parse("1").is_err());
    }
}
