//! Events of shims on their way to subscribers.

use dhow_proto::any;
use dhow_proto::containerd::events::TaskExit;

use super::manager::Manager;
use crate::event::Envelope;
use crate::namespace::Namespace;

impl Manager {
    /// Passes on an event of a shim, unless it is an exit that was told already.
    pub(crate) fn forward(&self, envelope: Envelope) {
        if self.is_news(&envelope) {
            self.events().forward(envelope);
        }
    }

    fn is_news(&self, envelope: &Envelope) -> bool {
        if envelope.topic != "/tasks/exit" {
            return true;
        }
        let Some(Ok(exit)) = envelope.event.as_ref().and_then(any::unpack::<TaskExit>) else { return true };
        let Ok(namespace) = envelope.namespace.parse::<Namespace>() else { return true };
        self.tell(&(namespace, exit.container_id), &exit.id, exit.pid)
    }
}
