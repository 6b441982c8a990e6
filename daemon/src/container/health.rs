//! Health: is it well? (Checks of a running container.)

use std::sync::Arc;

use super::state::Container;
use crate::daemon::Daemon;

/// Begins the checks of a container that was started.
pub(crate) fn watch(_daemon: &Arc<Daemon>, _container: &Arc<Container>) {}

/// Ends the checks of a container.
pub(crate) fn stop(container: &Container) {
    if let Some(checks) = container.state().checks.take() {
        checks.abort();
    }
}
