//! Names of images: `[registry/]path[:tag][@digest]`, canonical and as people say them.

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// The registry of names without one.
const DEFAULT_DOMAIN: &str = "docker.io";
/// The namespace of names with one part there.
const OFFICIAL: &str = "library/";
/// Longest name without tag and digest.
const MAX_NAME: usize = 255;

impl Reference {
    /// Reads a name. Errors are Docker's texts.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || "invalid reference format".to_owned();
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        {
            return Err(format!(
                "invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            ));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some(_) => return Err(invalid()),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if tag.as_deref().is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid());
        }
        let (domain, path) = match name.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first =>
            {
                (if first == "index.docker.io" { DEFAULT_DOMAIN } else { first }, rest)
            }
            _ => (DEFAULT_DOMAIN, name),
        };
        let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
            format!("{OFFICIAL}{path}")
        } else {
            path.to_owned()
        };
        if path.to_lowercase() != path {
            return Err(format!("invalid reference format: repository name ({path}) must be lowercase"));
        }
        if !is_domain(domain) || !path.split('/').all(is_component) {
            return Err(invalid());
        }
        if domain.len() + path.len() >= MAX_NAME {
            return Err("repository name must not be more than 255 characters".into());
        }
        Ok(Self { domain: domain.to_owned(), path, tag, digest })
    }

    /// Whether it has neither tag nor digest.
    pub(crate) fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Whether it names contents and not only a tag.
    pub(crate) fn has_digest(&self) -> bool {
        self.digest.is_some()
    }

    /// The tag that was given.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, else the tag, else `latest`.
    pub(crate) fn tag_or_digest(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// The tag, `latest` when neither tag nor digest was given.
    fn suffix(&self) -> String {
        let tag = match (&self.tag, &self.digest) {
            (Some(tag), _) => format!(":{tag}"),
            (None, Some(_)) => String::new(),
            (None, None) => ":latest".into(),
        };
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }

    /// Registry and path.
    pub(crate) fn canonical_name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The whole name with its tag or digest.
    pub(crate) fn canonical(&self) -> String {
        self.canonical_name() + &self.suffix()
    }

    /// Registry and path as people say them.
    pub(crate) fn familiar_name(&self) -> String {
        if self.domain == DEFAULT_DOMAIN {
            return self.path.strip_prefix(OFFICIAL).unwrap_or(&self.path).to_owned();
        }
        self.canonical_name()
    }

    /// The whole name as people say it.
    pub(crate) fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_domain(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let literal = name.starts_with('[') && name.ends_with(']');
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    port && (literal || name.split('.').all(label))
}

/// Letters and digits, parted by one dot, one or two underscores, or dashes.
fn is_component(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge)
        && text.ends_with(edge)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        && !["..", "___", "._", "_.", ".-", "-.", "_-", "-_"].iter().any(|bad| text.contains(bad))
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn names() {
        for (text, canonical, familiar) in [
            ("busybox", "docker.io/library/busybox:latest", "busybox:latest"),
            ("docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
            ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ] {
            let reference = Reference::parse(text).expect(text);
            assert_eq!(
                (reference.canonical().as_str(), reference.familiar().as_str()),
                (canonical, familiar)
            );
        }
        let digest = format!("busybox@sha256:{}", "0".repeat(64));
        assert_eq!(Reference::parse(&digest).map(|reference| reference.familiar()), Ok(digest));
    }

    #[test]
    fn errors_are_dockers() {
        for (text, error) in [
            ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
            ("a:b:c", "invalid reference format"),
            ("", "invalid reference format"),
            ("a..b", "invalid reference format"),
        ] {
            assert_eq!(Reference::parse(text), Err(error.into()), "{text}");
        }
    }
}
