//! Image references: `[DOMAIN/]PATH[:TAG][@DIGEST]`, in the short form that people type and the full one that is kept.
//!
//! `busybox` is `docker.io/library/busybox:latest`. The first component is a domain when it has a dot, a colon or a
//! capital letter, or is `localhost`; the grammar of the rest is that of the distribution specification.

use std::fmt;
use std::str::FromStr;

/// The domain of short names, and the folder on it that they live in.
const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// The longest repository name, domain included.
const NAME_LIMIT: usize = 255;

/// A reference, normalised: the domain is always there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    /// It does not follow the grammar.
    #[error("invalid reference format: {0:?}")]
    Format(String),
    /// Repository names have no capital letters.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// It is an image ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The name is too long.
    #[error("repository name must not be more than {NAME_LIMIT} characters")]
    Long,
}

impl Reference {
    /// The registry, as `host[:port]`.
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// The registry without its port: how labels name where a blob comes from.
    pub(crate) fn host(&self) -> &str {
        match self.domain.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.domain,
        }
    }

    /// The repository on it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The tag, when one was given.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, when one was given.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// What to ask the registry for: the digest, else the tag, else `latest`.
    pub(crate) fn object(&self) -> &str {
        self.digest().or_else(|| self.tag()).unwrap_or(DEFAULT_TAG)
    }

    /// The repository as people write it: without Docker Hub's domain and folder.
    pub(crate) fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        match self.path.strip_prefix(OFFICIAL) {
            Some(short) if !short.contains('/') => short.to_owned(),
            _ => self.path.clone(),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.domain, self.path)?;
        match (&self.tag, &self.digest) {
            (None, None) => write!(formatter, ":{DEFAULT_TAG}"),
            (tag, digest) => {
                tag.iter().try_for_each(|tag| write!(formatter, ":{tag}"))?;
                digest.iter().try_for_each(|digest| write!(formatter, "@{digest}"))
            }
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ReferenceError::Format(text.to_owned());
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (domain, rest) = split_domain(rest);
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(path.to_owned()));
        }
        let sound =
            is_domain(domain) && is_path(path) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        if !sound {
            return Err(wrong());
        }
        let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
        let official = domain == DEFAULT_DOMAIN && !path.contains('/');
        let path = if official { format!("{OFFICIAL}{path}") } else { path.to_owned() };
        if domain.len() + 1 + path.len() > NAME_LIMIT {
            return Err(ReferenceError::Long);
        }
        Ok(Self {
            domain: domain.to_owned(),
            path,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => {
                let address =
                    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
                return address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Components of letters and digits; between them one `.`, one or two `_`, or any number of `-`.
fn is_path(text: &str) -> bool {
    text.split('/').all(|component| {
        let is_word = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
        let bytes = component.as_bytes();
        let framed = bytes.first().is_some_and(is_word) && bytes.last().is_some_and(is_word);
        framed
            && bytes
                .split(is_word)
                .filter(|gap| !gap.is_empty())
                .all(|gap| matches!(gap, b"." | b"_" | b"__") || gap.iter().all(|byte| *byte == b'-'))
    })
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = text.bytes().next().is_some_and(is_word);
    first && text.len() <= 128 && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, value)) = text.split_once(':') else { return false };
    let named = algorithm.split(['-', '_', '+', '.']).all(|part| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    named && value.len() >= 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().map_or_else(|error| error.to_string(), |reference| reference.to_string())
    }

    #[test]
    fn short_names_are_completed() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (short, long) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("user/image", "docker.io/user/image:latest"),
            ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
            ("docker.io/library/busybox", "docker.io/library/busybox:latest"),
            ("localhost/busybox", "localhost/busybox:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("Registry/x", "Registry/x:latest"),
            ("a.b/c__d/e---f.g", "a.b/c__d/e---f.g:latest"),
        ] {
            assert_eq!(full(short), long);
        }
        assert_eq!(full(&format!("busybox@{digest}")), format!("docker.io/library/busybox@{digest}"));
        assert_eq!(full(&format!("busybox:1@{digest}")), format!("docker.io/library/busybox:1@{digest}"));
    }

    #[test]
    fn what_breaks_the_grammar_is_refused() {
        for bad in [
            "",
            ":latest",
            "a//b",
            "/a",
            "a/",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a:",
            "a:.b",
            "a:b:c",
            "a@sha256:12",
            "a@",
            "http://a/b",
            "a b",
            "ä",
            "host.:5000/x",
            "x.y:port/z",
            "[::1/x",
            "a/.",
            "a/..",
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
        assert!(matches!("Busybox".parse::<Reference>(), Err(ReferenceError::Uppercase(_))));
        assert!(matches!("a".repeat(64).parse::<Reference>(), Err(ReferenceError::Identifier(_))));
        assert_eq!("a".repeat(250).parse::<Reference>(), Err(ReferenceError::Long));
    }

    #[test]
    fn parts_and_familiar_names() {
        let reference: Reference = "busybox:1".parse().expect("sound");
        assert_eq!(
            (reference.domain(), reference.path(), reference.object()),
            ("docker.io", "library/busybox", "1")
        );
        assert_eq!(reference.familiar_name(), "busybox");
        let other: Reference = "user/x".parse().expect("sound");
        assert_eq!((other.familiar_name().as_str(), other.object()), ("user/x", "latest"));
    }

    proptest! {
        #[test]
        fn the_full_form_means_the_same(
            text in "([a-z]{1,4}(\\.[a-z]{1,3}|:[0-9]{1,4}|)/)?[a-z0-9]{1,5}(/[a-z0-9]{1,3}([._-][a-z]{1,3})?){0,3}(:[A-Za-z0-9_.-]{1,8})?"
        ) {
            if let Ok(reference) = text.parse::<Reference>() {
                let again: Reference = reference.to_string().parse().expect("the full form is sound");
                prop_assert_eq!(again.to_string(), reference.to_string());
                let tag = reference.tag().map_or_else(String::new, |tag| format!(":{tag}"));
                let familiar: Reference = format!("{}{tag}", reference.familiar_name()).parse().expect("sound");
                prop_assert_eq!(familiar, reference);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            drop(text.parse::<Reference>());
        }
    }
}
