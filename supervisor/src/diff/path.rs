//! Names in an archive, cleaned: relative to the root of the layer, without `.`, `..` or empty components.

/// A cleaned path; empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct EntryPath(Vec<u8>);

/// The most components of a path: a tree of this depth is removed with one file descriptor a level.
const DEPTH_LIMIT: usize = 512;
/// The longest component (NAME_MAX).
const COMPONENT_LIMIT: usize = 255;

/// Why a name is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryPathError {
    /// It leads out of the layer.
    #[error("it climbs above the root")]
    Climbs,
    /// It is deeper than any sound tree.
    #[error("it is deeper than {DEPTH_LIMIT} levels")]
    Deep,
    /// A component is too long.
    #[error("a component is longer than {COMPONENT_LIMIT} bytes")]
    Long,
    /// It holds a NUL byte.
    #[error("it holds a NUL byte")]
    Nul,
}

impl EntryPath {
    /// Cleans `raw`. A leading `/` is the root of the layer; `..` takes back a component.
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, EntryPathError> {
        if raw.contains(&0) {
            return Err(EntryPathError::Nul);
        }
        let mut components: Vec<&[u8]> = Vec::new();
        for component in raw.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => drop(components.pop().ok_or(EntryPathError::Climbs)?),
                _ if component.len() > COMPONENT_LIMIT => return Err(EntryPathError::Long),
                _ => components.push(component),
            }
        }
        if components.len() > DEPTH_LIMIT {
            return Err(EntryPathError::Deep);
        }
        Ok(Self(components.join(&b'/')))
    }

    /// The bytes, components joined by `/`.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The parent and the last component; `None` for the root.
    pub(crate) fn split(&self) -> Option<(Self, &[u8])> {
        if self.0.is_empty() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (Self(self.0[..slash].to_vec()), &self.0[slash + 1..]),
            None => (Self::default(), &self.0),
        })
    }

    /// The components from the root down.
    pub(crate) fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
    }

    /// This path and one more component.
    pub(crate) fn join(&self, name: &[u8]) -> Self {
        if self.0.is_empty() { Self(name.to_vec()) } else { Self([&self.0, name].join(&b'/')) }
    }

    /// For messages.
    pub(crate) fn display(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(raw: &str) -> Result<String, EntryPathError> {
        EntryPath::parse(raw.as_bytes()).map(|path| String::from_utf8(path.0).expect("was text"))
    }

    #[test]
    fn names_are_cleaned() {
        assert_eq!(clean("./a//b/./c/").as_deref(), Ok("a/b/c"));
        assert_eq!(clean("/etc/passwd").as_deref(), Ok("etc/passwd"));
        assert_eq!(clean("a/../b").as_deref(), Ok("b"));
        assert_eq!(clean("./").as_deref(), Ok(""));
        assert_eq!(clean("../x"), Err(EntryPathError::Climbs));
        assert_eq!(clean("a/../../x"), Err(EntryPathError::Climbs));
        assert_eq!(clean("a\0b"), Err(EntryPathError::Nul));
        assert_eq!(clean(&"a/".repeat(513)), Err(EntryPathError::Deep));
        assert_eq!(clean(&"a".repeat(256)), Err(EntryPathError::Long));
    }

    proptest! {
        #[test]
        fn a_cleaned_path_has_only_plain_components(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = EntryPath::parse(&raw) {
                prop_assert!(path.components().all(|name| !matches!(name, b"" | b"." | b"..") && !name.contains(&0)));
                prop_assert_eq!(EntryPath::parse(path.as_bytes()), Ok(path.clone()));
                if let Some((parent, name)) = path.split() {
                    prop_assert_eq!(parent.join(name), path.clone());
                }
            }
        }
    }
}
