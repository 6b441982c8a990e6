//! Update: new limits for a container.

use dhow_proto::containerd::task::v3::UpdateTaskRequest;

use super::process::State;
use super::{Shim, TaskError};

impl Shim {
    /// Passes new resources to the runtime.
    pub(crate) async fn update(&self, request: &UpdateTaskRequest) -> Result<(), TaskError> {
        let container = self.container(&request.id)?;
        let _busy = container.init.occupy().await;
        if let State::Stopped(_) | State::Deleted = container.init.state() {
            return Err(TaskError::State("cannot update a stopped container".to_owned()));
        }
        let resources =
            request.resources.as_ref().map(|resources| resources.value.as_slice()).unwrap_or_default();
        let args = ["update", "--resources", "-", &container.id];
        let updated = container.runtime.run_with_document(args, resources).await;
        updated.map(drop).map_err(TaskError::runtime("OCI runtime update failed"))
    }
}
