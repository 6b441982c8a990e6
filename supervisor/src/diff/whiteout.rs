//! Whiteouts: how an archive says that something below is gone, and how a file system on disk says it.
//!
//! In an archive, `.wh.NAME` deletes NAME of the layers below and `.wh..wh..opq` deletes everything that they have in
//! a directory; neither touches what the same archive holds. On disk, overlayfs has a character device 0:0 for the
//! first and an attribute of the directory for the second.

/// What a name says about deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker<'a> {
    /// The layers below lose this name.
    Whiteout(&'a [u8]),
    /// The layers below lose everything in the directory that the marker lies in.
    Opaque,
    /// Bookkeeping of aufs, which nothing reads any more.
    Ignored,
}

/// What deletion markers become on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The upper directory of an overlay: markers are kept, in the form that overlayfs reads.
    Overlay,
    /// A tree that already holds the layers below: markers delete.
    Merged,
}

/// The attribute that makes a directory of an upper layer hide the same directory below.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

const PREFIX: &[u8] = b".wh.";
const META: &[u8] = b".wh..wh.";

/// A name that stands for a whiteout but names nothing that could be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its whiteout names no file")]
pub(crate) struct MarkerError;

impl<'a> Marker<'a> {
    /// The marker that the last component `name` of a path is, if it is one.
    pub(crate) fn parse(name: &'a [u8]) -> Result<Option<Self>, MarkerError> {
        if name == b".wh..wh..opq" {
            return Ok(Some(Self::Opaque));
        }
        if name.starts_with(META) {
            return Ok(Some(Self::Ignored));
        }
        match name.strip_prefix(PREFIX) {
            None => Ok(None),
            Some(b"" | b"." | b"..") => Err(MarkerError),
            Some(hidden) => Ok(Some(Self::Whiteout(hidden))),
        }
    }

    /// The name in an archive of the whiteout of `name`.
    pub(crate) fn whiteout(name: &[u8]) -> Vec<u8> {
        [PREFIX, name].concat()
    }

    /// The name in an archive of an opaque directory's marker.
    pub(crate) const OPAQUE_NAME: &'static [u8] = b".wh..wh..opq";
}

/// Whether an attribute belongs to overlayfs, and must never come out of an archive or go into one: with
/// `trusted.overlay.redirect` a layer could show directories of other layers.
pub(crate) fn is_overlay_attribute(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(Marker::parse(b"file"), Ok(None));
        assert_eq!(Marker::parse(b".wh.file"), Ok(Some(Marker::Whiteout(b"file"))));
        assert_eq!(Marker::parse(b".wh..wh..opq"), Ok(Some(Marker::Opaque)));
        assert_eq!(Marker::parse(b".wh..wh.plnk"), Ok(Some(Marker::Ignored)));
        for hostile in [&b".wh."[..], b".wh..", b".wh..."] {
            assert_eq!(Marker::parse(hostile), Err(MarkerError));
        }
        assert_eq!(Marker::parse(&Marker::whiteout(b"a")), Ok(Some(Marker::Whiteout(b"a"))));
    }

    #[test]
    fn attributes_of_overlayfs_are_kept_apart() {
        assert!(is_overlay_attribute(b"trusted.overlay.redirect"));
        assert!(!is_overlay_attribute(b"security.capability"));
    }
}
