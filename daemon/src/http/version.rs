//! Versions of the API: the `/vX.YY` before a path, and which of them are answered.

use dhow_engine_api::{API_VERSION, MIN_API_VERSION};

use super::error::HttpError;

/// A version that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32);

impl Version {
    /// Version `1.minor`.
    pub(crate) const fn one(minor: u32) -> Self {
        Self(1, minor)
    }

    /// What a path without a version means: the newest.
    pub(crate) fn newest() -> Self {
        parse(API_VERSION).unwrap_or(Self::one(51))
    }

    /// Checks what a path names, such as `1.41`.
    pub(crate) fn accept(text: &str) -> Result<Self, HttpError> {
        let asked = parse(text).ok_or_else(|| HttpError::invalid(format!("invalid version {text:?}")))?;
        if parse(MIN_API_VERSION).is_some_and(|oldest| asked < oldest) {
            return Err(HttpError::invalid(format!(
                "client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, please upgrade your client to a newer version"
            )));
        }
        if asked > Self::newest() {
            return Err(HttpError::invalid(format!(
                "client version {text} is too new. Maximum supported API version is {API_VERSION}"
            )));
        }
        Ok(asked)
    }
}

fn parse(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    Some(Version(major.parse().ok()?, minor.parse().ok()?))
}

/// The version in the first segment of a path (`v1.41`); `None` when that segment is part of the route.
pub(crate) fn prefix(segment: &str) -> Option<&str> {
    segment.strip_prefix('v').filter(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_outside_the_range_are_refused_by_name() {
        assert_eq!(Version::accept("1.24").ok(), Some(Version::one(24)));
        assert_eq!(Version::accept("1.51").ok(), Some(Version::newest()));
        assert!(
            format!("{:?}", Version::accept("1.99"))
                .contains("client version 1.99 is too new. Maximum supported")
        );
        assert!(
            format!("{:?}", Version::accept("1.12"))
                .contains("is too old. Minimum supported API version is 1.24")
        );
        assert_eq!(prefix("v1.41"), Some("1.41"));
        assert_eq!(prefix("volumes"), None);
    }
}
