//! Checkpoint: the runtime writes the state of a container to disk, where it can.

use std::ffi::OsString;

use dhow_proto::any;
use dhow_proto::containerd::runc::v1::CheckpointOptions;
use dhow_proto::containerd::task::v3::CheckpointTaskRequest;

use super::process::State;
use super::{Shim, TaskError};

impl Shim {
    /// Passes the request to the runtime.
    pub(crate) async fn checkpoint(&self, request: &CheckpointTaskRequest) -> Result<(), TaskError> {
        let container = self.container(&request.id)?;
        let _busy = container.init.occupy().await;
        if container.init.state() != State::Running {
            let state = container.init.state().name();
            return Err(TaskError::State(format!("cannot checkpoint a {state} container")));
        }
        let options = match &request.options {
            None => CheckpointOptions::default(),
            Some(options) => dhow_proto::runc::checkpoint_options(options)
                .ok_or_else(|| {
                    TaskError::Invalid(format!("checkpoint options of type {}", any::name(options)))
                })?
                .map_err(TaskError::Decode)?,
        };
        let mut args = arguments(&request.path, &options);
        if options.work_path.is_empty() {
            args.extend(["--work-path".into(), container.bundle.join("criu-work").into()]);
        }
        args.push(OsString::from(&container.id));
        let written = container.runtime.run(args).await;
        if options.work_path.is_empty() {
            drop(std::fs::remove_dir_all(container.bundle.join("criu-work")));
        }
        drop(written.map_err(TaskError::runtime("OCI runtime checkpoint failed"))?);
        let event = dhow_proto::containerd::events::TaskCheckpointed {
            container_id: container.id.clone(),
            checkpoint: request.path.clone(),
        };
        self.publisher.publish("/tasks/checkpointed", &event);
        Ok(())
    }
}

fn arguments(path: &str, options: &CheckpointOptions) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["checkpoint".into(), "--image-path".into(), path.into()];
    let flags = [
        (!options.exit, "--leave-running"),
        (options.open_tcp, "--tcp-established"),
        (options.external_unix_sockets, "--ext-unix-sk"),
        (options.terminal, "--shell-job"),
        (options.file_locks, "--file-locks"),
    ];
    args.extend(flags.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag.into()));
    let values = [
        ("--manage-cgroups-mode", &options.cgroups_mode),
        ("--parent-path", &options.parent_path),
        ("--work-path", &options.work_path),
    ];
    for (flag, value) in values {
        if !value.is_empty() {
            args.extend([flag.into(), value.into()]);
        }
    }
    for namespace in &options.empty_namespaces {
        args.extend(["--empty-ns".into(), namespace.into()]);
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_flags() {
        let options =
            CheckpointOptions { open_tcp: true, parent_path: "/p".to_owned(), ..Default::default() };
        assert_eq!(
            arguments("/i", &options),
            [
                "checkpoint",
                "--image-path",
                "/i",
                "--leave-running",
                "--tcp-established",
                "--parent-path",
                "/p"
            ]
        );
    }
}
