//! Questions about garbage collection, asked through the introspection service as options of the plugin
//! `io.containerd.gc.v1.scheduler`: JSON both ways, each form under a type URL of its own.

use dhow_proto::any;
use dhow_proto::error::Kind;
use prost_types::Any;
use serde::{Deserialize, Serialize};

use super::{COLLECTED, Collector, Node, Subject};
use crate::fault::Fault;
use crate::metadata::StoreError;

/// Type URL of a [`Question`].
pub(crate) const QUESTION_URL: &str = "dhow.gc.v1.Question";
/// Type URL of an [`Answer`].
pub(crate) const ANSWER_URL: &str = "dhow.gc.v1.Answer";

/// What somebody wants to know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Question {
    /// What keeps an object.
    Why { namespace: String, kind: String, name: String },
    /// What was removed lately.
    Log,
}

/// What we know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The way from a root, root first; `None` when nothing keeps it.
    Why(Option<Vec<String>>),
    /// Collections, oldest first.
    Log(Vec<Removal>),
}

/// One collection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Removal {
    /// When, as RFC 3339.
    pub(crate) at: String,
    /// What, as far as it is named.
    pub(crate) nodes: Vec<String>,
    /// How many.
    pub(crate) count: u64,
}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuestionError {
    #[error("options of the garbage collector must be a {QUESTION_URL}, not {0:?}")]
    Type(String),
    #[error("decode the question")]
    Decode(#[from] serde_json::Error),
    #[error("{0:?} is no kind of object: image, content, snapshot, container, sandbox, ingest, lease, mount")]
    Kind(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault for QuestionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Type(_) | Self::Decode(_) | Self::Kind(_) => Kind::InvalidArgument,
            Self::Store(error) => error.kind(),
        }
    }
}

impl Collector {
    /// Answers the question in `options`.
    pub(crate) fn answer(&self, options: &Any) -> Result<Any, QuestionError> {
        if any::name(options) != QUESTION_URL {
            return Err(QuestionError::Type(options.type_url.clone()));
        }
        let answer = match serde_json::from_slice(&options.value)? {
            Question::Why { namespace, kind, name } => {
                let node = Node::new(&namespace, subject(&kind, name)?);
                Answer::Why(self.why(&node)?.map(|way| way.iter().map(Node::to_string).collect()))
            }
            Question::Log => Answer::Log(self.log()?),
        };
        Ok(any::pack_json(ANSWER_URL, serde_json::to_vec(&answer)?))
    }

    fn log(&self) -> Result<Vec<Removal>, StoreError> {
        let collected = COLLECTED.list(&self.view()?, &[], |_| true)?;
        let removal = |collected: super::Collected| {
            let at = collected.at.and_then(|at| std::time::SystemTime::try_from(at).ok());
            let at = at.and_then(|at| jiff::Timestamp::try_from(at).ok());
            let at = at.map(|at| at.to_string()).unwrap_or_default();
            Removal { at, nodes: collected.nodes, count: collected.count }
        };
        Ok(collected.into_iter().map(removal).collect())
    }
}

fn subject(kind: &str, name: String) -> Result<Subject, QuestionError> {
    Ok(match kind {
        "image" => Subject::Image(name),
        "content" => Subject::Content(name),
        "container" => Subject::Container(name),
        "sandbox" => Subject::Sandbox(name),
        "ingest" => Subject::Ingest(name),
        "lease" => Subject::Lease(name),
        "mount" => Subject::Mount(name),
        "snapshot" => {
            let (snapshotter, key) = name.split_once('/').unwrap_or(("overlayfs", &name));
            Subject::Snapshot { snapshotter: snapshotter.to_owned(), key: key.to_owned() }
        }
        other => return Err(QuestionError::Kind(other.to_owned())),
    })
}
