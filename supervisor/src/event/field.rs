//! The fields of an envelope that filters may name: `namespace`, `topic`, and `event.FIELD` of known payloads.

use dhow_proto::any;
use dhow_proto::containerd::events as payload;
use prost_types::Any;

use super::Envelope;
use crate::filter::Adaptor;

impl Adaptor for Envelope {
    fn field(&self, path: &[&str]) -> Option<String> {
        of(self, path)
    }
}

/// The value at `path`; `None` when there is no such field or it is empty.
fn of(envelope: &Envelope, path: &[&str]) -> Option<String> {
    let value = match path {
        ["namespace"] => Some(envelope.namespace.clone()),
        ["topic"] => Some(envelope.topic.clone()),
        ["event", rest @ ..] => of_payload(envelope.event.as_ref()?, rest),
        _ => None,
    };
    value.filter(|value| !value.is_empty())
}

macro_rules! string_fields {
    ($any:expr, $path:expr, $($message:ident { $($field:ident),* })*) => {
        $(if let Some(event) = any::unpack::<payload::$message>($any) {
            let event = event.ok()?;
            return match $path {
                $([stringify!($field)] => Some(event.$field),)*
                _ => None,
            };
        })*
    };
}

fn of_payload(event: &Any, path: &[&str]) -> Option<String> {
    string_fields! { event, path,
        TaskCreate { container_id, bundle, checkpoint }
        TaskStart { container_id }
        TaskDelete { container_id, id }
        TaskExit { container_id, id }
        TaskOom { container_id }
        TaskExecAdded { container_id, exec_id }
        TaskExecStarted { container_id, exec_id }
        TaskPaused { container_id }
        TaskResumed { container_id }
        TaskCheckpointed { container_id, checkpoint }
        ContainerCreate { id, image }
        ContainerUpdate { id, image, snapshot_key }
        ContainerDelete { id }
        ContentDelete { digest }
        NamespaceCreate { name }
        NamespaceUpdate { name }
        NamespaceDelete { name }
        SnapshotPrepare { key, parent, snapshotter }
        SnapshotCommit { key, name, snapshotter }
        SnapshotRemove { key, snapshotter }
    }
    None
}
