//! Pids: the processes of a container.

use dhow_proto::any;
use dhow_proto::containerd::runc::v1::ProcessDetails;
use dhow_proto::containerd::task::v3::{PidsRequest, PidsResponse};
use dhow_proto::containerd::v1::types::ProcessInfo;

use super::process::State;
use super::{Shim, TaskError};
use crate::oci_runtime::RuntimeError;

impl Shim {
    /// Lists the pids of a container, with the exec that each belongs to.
    pub(crate) async fn pids(&self, request: &PidsRequest) -> Result<PidsResponse, TaskError> {
        let container = self.container(&request.id)?;
        if let State::Stopped(_) = container.init.state() {
            // Its first process alone, dead as a zombie is. containerd 2 throws a shim that lists nothing away when it
            // starts again, and with it an exit that nobody has heard of yet.
            let init = ProcessInfo { pid: container.init.pid.get(), info: None };
            return Ok(PidsResponse { processes: vec![init] });
        }
        let action = "OCI runtime ps failed";
        let listed = container.runtime.run(["ps", "--format", "json", &container.id]).await;
        let json = listed.map_err(TaskError::runtime(action))?;
        let pids = parse(&json).ok_or_else(|| {
            let message = format!("unexpected output {:?}", String::from_utf8_lossy(&json));
            TaskError::Runtime { action, source: RuntimeError::Failed { message } }
        })?;
        let execs = container.execs();
        let info = |pid: u32| {
            let exec = execs.iter().find(|exec| exec.pid.get() == pid)?;
            Some(any::pack(&ProcessDetails { exec_id: exec.exec_id.clone() }))
        };
        let processes = pids.into_iter().map(|pid| ProcessInfo { pid, info: info(pid) }).collect();
        Ok(PidsResponse { processes })
    }
}

/// A JSON list of pids; `null` when there are none. Words that the runtime printed before it are skipped.
fn parse(output: &[u8]) -> Option<Vec<u32>> {
    let text = std::str::from_utf8(output).ok()?.trim();
    let line = text.lines().next_back().unwrap_or("null");
    serde_json::from_str::<Option<Vec<u32>>>(line)
        .or_else(|_| serde_json::from_str(text))
        .ok()
        .map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_is_understood() {
        assert_eq!(parse(b"[1,2]\n"), Some(vec![1, 2]));
        assert_eq!(parse(b"[\n  1,\n  2\n]\n"), Some(vec![1, 2]));
        assert_eq!(parse(b"null"), Some(vec![]));
        assert_eq!(parse(b"time=x level=warning\n[7]"), Some(vec![7]));
        assert_eq!(parse(b"PID\n1\n"), None);
    }
}
