//! The record of a sandbox, and what may be wrong with one.

use dhow_proto::error::Kind;
use prost_types::{Any, Timestamp};

use crate::extension::{self, Extensions};
use crate::fault::Fault;
use crate::filter::{Adaptor, FilterError};
use crate::identifier::{self, IdentifierError};
use crate::label::{self, LabelError, Labels};
use crate::metadata::{Collection, StoreError};
use crate::namespace::Namespace;

/// The record of a sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Sandbox {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) labels: Labels,
    #[prost(string, tag = "3")]
    pub(crate) runtime: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) runtime_options: Option<Any>,
    #[prost(message, optional, tag = "5")]
    pub(crate) spec: Option<Any>,
    #[prost(message, optional, tag = "6")]
    pub(crate) created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub(crate) updated_at: Option<Timestamp>,
    #[prost(btree_map = "string, message", tag = "8")]
    pub(crate) extensions: Extensions,
    /// Who runs it.
    #[prost(string, tag = "9")]
    pub(crate) sandboxer: String,
}

/// The records of sandboxes.
pub(crate) const SANDBOXES: Collection<Sandbox> = Collection::new("sandbox");

impl Adaptor for Sandbox {
    fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["id", ..] => Some(self.id.clone()),
            ["labels", rest @ ..] => return label::field(rest, &self.labels),
            _ => None,
        }
        .filter(|value| !value.is_empty())
    }
}

/// A failure around records of sandboxes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("sandbox {id:?} in namespace {:?}", .namespace.as_str())]
    NotFound { id: String, namespace: Namespace },
    #[error("sandbox {0:?}")]
    AlreadyExists(String),
    #[error("failed to validate sandbox")]
    Invalid(#[from] InvalidSandbox),
    #[error("sandbox.Runtime.Name field is immutable")]
    Immutable,
    #[error("cannot update {field:?} field on sandbox {id:?}")]
    Field { field: String, id: String },
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a record of a sandbox cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidSandbox {
    #[error("invalid sandbox ID")]
    Id(#[from] IdentifierError),
    #[error("sandbox.Labels")]
    Label(#[from] LabelError),
    #[error("sandbox.Extension keys must not be zero-length")]
    Extension,
}

impl Fault for RecordError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::AlreadyExists(_) => Kind::AlreadyExists,
            Self::Invalid(_) | Self::Immutable | Self::Field { .. } | Self::Filter(_) => {
                Kind::InvalidArgument
            }
            Self::Store(error) => error.kind(),
        }
    }
}

impl Sandbox {
    pub(super) fn validate(&self) -> Result<(), InvalidSandbox> {
        identifier::validate(&self.id)?;
        label::validate(&self.labels)?;
        if !extension::are_named(&self.extensions) {
            return Err(InvalidSandbox::Extension);
        }
        Ok(())
    }

    /// Takes the fields of `new` that `mask` names; without one, all that may change.
    pub(super) fn apply(&mut self, new: &Self, mask: &[String]) -> Result<(), RecordError> {
        if mask.is_empty() {
            if self.runtime != new.runtime {
                return Err(RecordError::Immutable);
            }
            return ["labels", "extensions", "spec", "runtime"]
                .iter()
                .try_for_each(|path| self.apply_path(new, path));
        }
        mask.iter().try_for_each(|path| self.apply_path(new, path))
    }

    fn apply_path(&mut self, new: &Self, path: &str) -> Result<(), RecordError> {
        if label::apply_mask(path, &mut self.labels, &new.labels)
            || extension::apply_mask(path, &mut self.extensions, &new.extensions)
        {
            return Ok(());
        }
        match path {
            "spec" => self.spec.clone_from(&new.spec),
            "runtime" => {
                self.runtime.clone_from(&new.runtime);
                self.runtime_options.clone_from(&new.runtime_options);
            }
            _ => return Err(RecordError::Field { field: path.to_owned(), id: new.id.clone() }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(runtime: &str, label: &str) -> Sandbox {
        let labels = Labels::from([("a".to_owned(), label.to_owned()), ("b".to_owned(), "1".to_owned())]);
        Sandbox { id: "s".to_owned(), runtime: runtime.to_owned(), labels, ..Sandbox::default() }
    }

    #[test]
    fn a_mask_says_what_changes() {
        let mut kept = sandbox("r", "old");
        kept.apply(&sandbox("r", "new"), &["labels.a".to_owned()]).expect("labels may change");
        assert_eq!(kept.labels["a"], "new");
        kept.apply(&sandbox("other", "x"), &["runtime".to_owned()]).expect("named explicitly");
        assert_eq!((kept.runtime.as_str(), kept.labels["a"].as_str()), ("other", "new"));
        assert!(matches!(kept.apply(&sandbox("r", "x"), &[]), Err(RecordError::Immutable)));
        let wrong = kept.apply(&sandbox("r", "x"), &["id".to_owned()]).expect_err("the id stays");
        assert_eq!(wrong.to_string(), "cannot update \"id\" field on sandbox \"s\"");
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        assert!(Sandbox { id: "a/b".to_owned(), ..Sandbox::default() }.validate().is_err());
        assert!(sandbox("r", &"x".repeat(4097)).validate().is_err());
        assert!(sandbox("r", "x").validate().is_ok());
    }
}
