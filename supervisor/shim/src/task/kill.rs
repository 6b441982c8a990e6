//! Kill: a signal to a process, or to all of a container.

use dhow_proto::containerd::task::v3::KillRequest;
use nix::errno::Errno;

use super::process::State;
use super::{Shim, TaskError};
use crate::oci_runtime::RuntimeError;
use crate::reaper;

impl Shim {
    /// Sends a signal.
    pub(crate) async fn kill(&self, request: &KillRequest) -> Result<(), TaskError> {
        let (container, process) = self.process(&request.id, &request.exec_id)?;
        if !process.is_init() {
            return match process.state() {
                State::Stopped(_) | State::Deleted => Err(TaskError::Finished),
                State::Created | State::Running if process.pid.get() == 0 => {
                    Err(TaskError::State("process not created".to_owned()))
                }
                State::Created | State::Running => signal(process.pid.get(), request.signal),
            };
        }
        let signal = request.signal.to_string();
        let mut args = vec!["kill"];
        args.extend(request.all.then_some("--all"));
        args.extend([container.id.as_str(), &signal]);
        match container.runtime.run(args).await {
            Ok(_) => Ok(()),
            Err(error) => Err(classify(error)),
        }
    }
}

fn signal(pid: u32, signal: u32) -> Result<(), TaskError> {
    reaper::kill(pid, signal).map_err(|error| match error {
        Errno::ESRCH => TaskError::Finished,
        error => TaskError::Invalid(format!("signal {signal}: {error}")),
    })
}

/// What a runtime's refusal means: clients must tell a process that has ended from a failure.
fn classify(error: RuntimeError) -> TaskError {
    if let RuntimeError::Failed { message } = &error {
        let message = message.to_lowercase();
        let finished =
            ["process already finished", "container not running", "no such process", "not running"];
        if finished.iter().any(|words| message.contains(words)) {
            return TaskError::Finished;
        }
        if message.contains("does not exist") {
            return TaskError::NotFound("no such container");
        }
    }
    TaskError::Runtime { action: "unknown error after kill", source: error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_because_it_is_over_is_no_failure() {
        let failed = |message: &str| classify(RuntimeError::Failed { message: message.to_owned() });
        assert!(matches!(failed("container not running"), TaskError::Finished));
        assert!(matches!(failed("kill: No such process"), TaskError::Finished));
        assert!(matches!(failed("container `x` does not exist"), TaskError::NotFound(_)));
        assert!(matches!(failed("permission denied"), TaskError::Runtime { .. }));
    }
}
