//! Preparations that the type of a mount asks for: `NAME/TYPE`.

use std::path::PathBuf;

use dhow_proto::containerd::types::{ActiveMount, Mount};

use super::error::StepError;
use super::{format, mkdir, mkfs};

/// A preparation of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transform {
    /// Templates in source, target and options name what was mounted before.
    Format,
    /// Folders are made.
    Mkdir,
    /// The source is made: a file with an empty file system.
    Mkfs,
}

impl Transform {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "format" => Some(Self::Format),
            "mkdir" => Some(Self::Mkdir),
            "mkfs" => Some(Self::Mkfs),
            _ => None,
        }
    }

    /// Prepares `mount`, after `active` were mounted; files are made below `roots` only.
    pub(super) fn apply(
        self,
        mount: Mount,
        active: &[ActiveMount],
        roots: &[PathBuf],
    ) -> Result<Mount, StepError> {
        match self {
            Self::Format => format::apply(mount, active),
            Self::Mkdir => mkdir::apply(mount, roots),
            Self::Mkfs => mkfs::apply(mount, roots),
        }
    }
}

/// Takes the options that begin with `prefix` out of `mount`, without it.
pub(super) fn take_options(mount: &mut Mount, prefix: &str) -> Vec<String> {
    let (taken, left): (Vec<String>, Vec<String>) =
        std::mem::take(&mut mount.options).into_iter().partition(|option| option.starts_with(prefix));
    mount.options = left;
    taken.into_iter().map(|option| option[prefix.len()..].to_owned()).collect()
}
