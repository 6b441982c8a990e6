//! Names of images: `busybox` is `docker.io/library/busybox:latest`, and shown as `busybox:latest`.
//!
//! The supervisor keeps whole names, as containerd does; people see and write short ones.

use std::fmt;

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const NAME_LIMIT: usize = 255;
const TAG_LIMIT: usize = 128;

/// A whole name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// A name that is none.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ReferenceError {
    /// Not the form of a name.
    #[error("invalid reference format")]
    Format,
    /// Upper case in the repository.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// It would be taken for an ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Id(String),
}

impl Reference {
    /// Reads `[domain/]path[:tag][@digest]`.
    pub(crate) fn parse(text: &str) -> Result<Self, ReferenceError> {
        if is_digest_hex(text) {
            return Err(ReferenceError::Id(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(ReferenceError::Format);
        }
        let (domain, remainder) = split_domain(rest);
        let (path, tag) = match remainder.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (remainder, None),
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase(path.to_owned()));
        }
        if !is_path(path) || tag.is_some_and(|tag| !is_tag(tag)) || !is_domain(domain) {
            return Err(ReferenceError::Format);
        }
        let official = domain == DEFAULT_DOMAIN && !path.contains('/');
        let path = if official { format!("{OFFICIAL}{path}") } else { path.to_owned() };
        if domain.len() + path.len() + 1 > NAME_LIMIT {
            return Err(ReferenceError::Format);
        }
        Ok(Self {
            domain: domain.to_owned(),
            path,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// With `latest` when neither a tag nor a digest is said.
    pub(crate) fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// With this tag (a digest when it looks like one) in place of its own.
    pub(crate) fn with(mut self, tag: &str) -> Result<Self, ReferenceError> {
        if is_digest(tag) {
            self.digest = Some(tag.to_owned());
            return Ok(self);
        }
        if !is_tag(tag) {
            return Err(ReferenceError::Format);
        }
        self.tag = Some(tag.to_owned());
        Ok(self)
    }

    /// With nothing but the repository.
    pub(crate) fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// `host[:port]` of the registry.
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// The path of the repository in its registry.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The tag.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest.
    pub(crate) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// What the supervisor calls it: with a digest, the tag is dropped, as Docker drops it.
    pub(crate) fn canonical(&self) -> String {
        let name = format!("{}/{}", self.domain, self.path);
        match (&self.tag, &self.digest) {
            (_, Some(digest)) => format!("{name}@{digest}"),
            (Some(tag), None) => format!("{name}:{tag}"),
            (None, None) => name,
        }
    }

    /// The repository as people see it.
    pub(crate) fn familiar_name(&self) -> String {
        match (self.domain.as_str(), self.path.strip_prefix(OFFICIAL)) {
            (DEFAULT_DOMAIN, Some(official)) if !official.contains('/') => official.to_owned(),
            (DEFAULT_DOMAIN, _) => self.path.clone(),
            (domain, _) => format!("{domain}/{}", self.path),
        }
    }
}

/// The name as people see it.
impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.familiar_name())?;
        match (&self.tag, &self.digest) {
            (_, Some(digest)) => write!(formatter, "@{digest}"),
            (Some(tag), None) => write!(formatter, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first =>
        {
            (if first == "index.docker.io" { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_is_one = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
        }),
    };
    host_is_one && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Lower-case words with single `.`, one or two `_`, or any number of `-` between them.
fn is_path(text: &str) -> bool {
    text.split('/').all(|component| {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let mut separators =
            component.split(|c: char| c.is_ascii() && word(c as u8)).filter(|part| !part.is_empty());
        let bounded =
            component.bytes().next().is_some_and(word) && component.bytes().last().is_some_and(word);
        bounded
            && separators
                .all(|part| matches!(part, "." | "_" | "__") || part.bytes().all(|byte| byte == b'-'))
    })
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_LIMIT
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_digest_hex)
}

fn is_digest_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(text: &str) -> (String, String) {
        let parsed = Reference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).or_latest();
        (parsed.canonical(), parsed.to_string())
    }

    #[test]
    fn short_names_are_of_the_hub() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, canonical, familiar) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("user/app:1", "docker.io/user/app:1", "user/app:1"),
            ("docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest", "localhost:5000/a/b:latest"),
            ("quay.io/x/y:v1.2-3", "quay.io/x/y:v1.2-3", "quay.io/x/y:v1.2-3"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ] {
            assert_eq!(round(text), (canonical.to_owned(), familiar.to_owned()));
        }
        let named = format!("busybox:1@{digest}");
        assert_eq!(
            round(&named),
            (format!("docker.io/library/busybox@{digest}"), format!("busybox@{digest}"))
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in
            ["", ":", "a:", "a@", "a@sha256:1", "-a", "a-", "a..b", "a___b", "a//b", "a b", "a:b:c", "x.y/"]
        {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Reference::parse("Busybox"), Err(ReferenceError::Uppercase("Busybox".into())));
        assert!(matches!(Reference::parse(&"a".repeat(64)), Err(ReferenceError::Id(_))));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same(text in "[a-z0-9./:_@-]{1,40}") {
            if let Ok(parsed) = Reference::parse(&text) {
                let parsed = parsed.or_latest();
                let again = Reference::parse(&parsed.to_string()).expect("shown names are names");
                prop_assert_eq!(again.canonical(), parsed.canonical());
            }
        }
    }
}
