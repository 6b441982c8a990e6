//! Resource limits and the OOM score, set from outside: inside a user namespace the right to raise them is gone.
//!
//! Without CAP_SYS_RESOURCE (a common sandbox) what is above the own limits is clamped to them, and [`Clamped`] says
//! so in one line.

use dhow_linux::file::PathError;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::LaunchError;
use crate::log;
use crate::spec::Rlimit as Asked;

const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_CPU", Resource::Cpu),
    ("RLIMIT_FSIZE", Resource::Fsize),
    ("RLIMIT_DATA", Resource::Data),
    ("RLIMIT_STACK", Resource::Stack),
    ("RLIMIT_CORE", Resource::Core),
    ("RLIMIT_RSS", Resource::Rss),
    ("RLIMIT_NPROC", Resource::Nproc),
    ("RLIMIT_NOFILE", Resource::Nofile),
    ("RLIMIT_MEMLOCK", Resource::Memlock),
    ("RLIMIT_AS", Resource::As),
    ("RLIMIT_LOCKS", Resource::Locks),
    ("RLIMIT_SIGPENDING", Resource::Sigpending),
    ("RLIMIT_MSGQUEUE", Resource::Msgqueue),
    ("RLIMIT_NICE", Resource::Nice),
    ("RLIMIT_RTPRIO", Resource::Rtprio),
    ("RLIMIT_RTTIME", Resource::Rttime),
];

/// What could not be had as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Clamped(Vec<String>);

impl Clamped {
    /// Warns, if there is a reason.
    pub(super) fn tell(&self) {
        if !self.0.is_empty() {
            let names = self.0.join(", ");
            log::warn(&format!(
                "no right to raise limits (CAP_SYS_RESOURCE): clamped to this process's own: {names}"
            ));
        }
    }
}

/// Sets the limits of `pid`.
pub(super) fn set_rlimits(pid: Pid, asked: &[Asked], clamped: &mut Clamped) -> Result<(), LaunchError> {
    for Asked { kind, soft, hard } in asked {
        let found = RESOURCES.iter().find(|(name, _)| name == kind);
        let (_, resource) = found.ok_or_else(|| LaunchError::Usage(format!("wrong rlimit value: {kind}")))?;
        let limit = Rlimit { current: bounded(*soft), maximum: bounded(*hard) };
        match prlimit(Some(pid), *resource, limit) {
            Ok(_) => {}
            Err(Errno::PERM) => {
                let own = rustix::process::getrlimit(*resource);
                let limit = clamp(limit, own);
                prlimit(Some(pid), *resource, limit).map_err(LaunchError::call("error setting rlimit"))?;
                clamped.0.push(kind.clone());
            }
            Err(error) => return Err(LaunchError::call("error setting rlimit")(error)),
        }
    }
    Ok(())
}

/// The kernel's "unlimited" is none for rustix.
const fn bounded(value: u64) -> Option<u64> {
    if value == u64::MAX { None } else { Some(value) }
}

/// What can be had of `asked` by somebody whose hard limit is that of `own`.
fn clamp(asked: Rlimit, own: Rlimit) -> Rlimit {
    let lower = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    let maximum = lower(asked.maximum, own.maximum);
    Rlimit { current: lower(asked.current, maximum), maximum }
}

/// Sets how likely the kernel kills `pid` when memory is short.
pub(super) fn set_oom_score(pid: Pid, score: i32, clamped: &mut Clamped) -> Result<(), LaunchError> {
    let path = format!("/proc/{}/oom_score_adj", pid.as_raw_nonzero());
    match std::fs::OpenOptions::new().write(true).open(&path).and_then(|file| {
        use std::io::Write;
        (&file).write_all(score.to_string().as_bytes())
    }) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            clamped.0.push(format!("oom_score_adj {score}"));
            Ok(())
        }
        other => other.map_err(PathError::at("write", &path)).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_clamped_to_what_one_has() {
        let limit = |current, maximum| Rlimit { current, maximum };
        let own = limit(Some(10), Some(100));
        let pair = |limit: Rlimit| (limit.current, limit.maximum);
        assert_eq!(pair(clamp(limit(None, None), own)), (Some(100), Some(100)));
        assert_eq!(pair(clamp(limit(Some(50), Some(200)), own)), (Some(50), Some(100)));
        assert_eq!(pair(clamp(limit(Some(5), Some(6)), limit(None, None))), (Some(5), Some(6)));
    }
}
