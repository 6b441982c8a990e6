//! Labels: the text that clients hang on objects, and the names that garbage collection reads.

use std::collections::BTreeMap;

use dhow_proto::error::Kind;

use crate::fault::Fault;

/// Labels of an object, by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// The most bytes that the name and the value of a label may have together.
const MAX_SIZE: usize = 4096;

/// Why a label was refused.
#[derive(Debug, thiserror::Error)]
#[error("label key and value length ({size} bytes) greater than maximum size ({MAX_SIZE} bytes), key: {key}")]
pub(crate) struct LabelError {
    size: usize,
    key: String,
}

impl Fault for LabelError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// Checks the size of every label.
pub(crate) fn validate(labels: &Labels) -> Result<(), LabelError> {
    match labels.iter().find(|(key, value)| key.len() + value.len() > MAX_SIZE) {
        Some((key, value)) => {
            Err(LabelError { size: key.len() + value.len(), key: key.chars().take(64).collect() })
        }
        None => Ok(()),
    }
}

/// Applies one path of a field mask to labels: `labels` takes all of `new`, `labels.NAME` one of them.
///
/// `false` when the path is about something else.
pub(crate) fn apply_mask(path: &str, labels: &mut Labels, new: &Labels) -> bool {
    if path == "labels" {
        new.clone_into(labels);
        return true;
    }
    let Some(name) = path.strip_prefix("labels.") else { return false };
    labels.insert(name.to_owned(), new.get(name).cloned().unwrap_or_default());
    labels.retain(|_, value| !value.is_empty());
    true
}

/// The value of `labels.a.b` for filters: the rest of the path, joined, names the label.
pub(crate) fn field(path: &[&str], labels: &Labels) -> Option<String> {
    labels.get(&path.join(".")).cloned()
}
