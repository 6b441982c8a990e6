//! Identifiers: the names of namespaces and containers, which are also safe as one component of a path.

use dhow_proto::error::Kind;

use crate::fault::Fault;

/// The most bytes that an identifier may have.
pub(crate) const MAX_LENGTH: usize = 76;

/// Why a text is no identifier.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentifierError {
    #[error("identifier must not be empty")]
    Empty,
    #[error("identifier {0:?} greater than maximum length ({MAX_LENGTH} characters)")]
    Long(String),
    #[error("identifier {0:?} must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$")]
    Form(String),
}

impl Fault for IdentifierError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// Checks that `text` is letters and digits, with single `.`, `_` or `-` between them.
pub(crate) fn validate(text: &str) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if text.len() > MAX_LENGTH {
        return Err(IdentifierError::Long(text.to_owned()));
    }
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if text.split(['.', '_', '-']).all(word) { Ok(()) } else { Err(IdentifierError::Form(text.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_words_joined_by_single_separators() {
        for good in ["default", "k8s.io", "a", "A_b-c.9", &"a".repeat(MAX_LENGTH)] {
            assert!(validate(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "a.", "a..b", "a/b", "a b", "ü", "../x", &"a".repeat(MAX_LENGTH + 1)] {
            assert!(validate(bad).is_err(), "{bad}");
        }
    }
}
