//! Exec: takes a process to run later.

use dhow_proto::containerd::events::TaskExecAdded;
use dhow_proto::containerd::task::v3::ExecProcessRequest;

use super::container::Freezer;
use super::process::{Process, State};
use super::{Shim, TaskError};
use crate::io::{self, Stdio};

impl Shim {
    /// Adds an exec to a container; [`Shim::start`] runs it.
    pub(crate) fn exec(&self, request: ExecProcessRequest) -> Result<(), TaskError> {
        let container = self.container(&request.id)?;
        if !is_file_name(&request.exec_id) {
            return Err(TaskError::Invalid(format!("exec id {:?}", request.exec_id)));
        }
        match (container.init.state(), container.freezer.get()) {
            (State::Stopped(_) | State::Deleted, _) => {
                return Err(TaskError::State("cannot exec in a stopped state".to_owned()));
            }
            (_, Freezer::Frozen | Freezer::Freezing) => {
                return Err(TaskError::State("cannot exec in a paused state".to_owned()));
            }
            _ => {}
        }
        let spec = spec(request.spec.map(|spec| spec.value).unwrap_or_default(), request.terminal)?;
        let stdio = Stdio {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        let bound = io::bind(&self.reactor, &stdio)?;
        let process = Process::new(request.exec_id.clone(), stdio, spec);
        process.bound.replace(bound);
        container.add_exec(process)?;
        let event = TaskExecAdded { container_id: container.id.clone(), exec_id: request.exec_id };
        self.publisher.publish("/tasks/exec-added", &event);
        Ok(())
    }
}

/// The OCI process with the request's choice of a terminal: both must agree, or the runtime and we would not.
fn spec(json: Vec<u8>, terminal: bool) -> Result<Vec<u8>, TaskError> {
    let mut spec: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&json)
        .map_err(|error| TaskError::Invalid(format!("decode process of exec: {error}")))?;
    spec.insert("terminal".to_owned(), terminal.into());
    serde_json::to_vec(&spec).map_err(|error| TaskError::Invalid(format!("encode process of exec: {error}")))
}

/// Exec ids become file names in the bundle.
fn is_file_name(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 128
        && !id.starts_with('.')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exec_id_stays_inside_the_bundle() {
        for good in ["a", "exec-1", "0d_x.y"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "../x"] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }

    #[test]
    fn the_terminal_of_the_request_wins() {
        let json = spec(br#"{"args":["sh"],"terminal":false}"#.to_vec(), true).expect("a process");
        assert_eq!(json, br#"{"args":["sh"],"terminal":true}"#);
        assert!(spec(b"[]".to_vec(), true).is_err());
    }
}
