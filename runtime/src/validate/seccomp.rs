//! What a seccomp profile may not say.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction};

use super::Invalid;

/// Checks that every rule is for some call, and that only actions that answer with an errno are given one.
pub(super) fn check(profile: Option<&LinuxSeccomp>) -> Result<(), Invalid> {
    let Some(profile) = profile else { return Ok(()) };
    errno(profile.default_action(), profile.default_errno_ret())?;
    for rule in profile.syscalls().iter().flatten() {
        if rule.names().is_empty() {
            return Invalid::rule("seccomp: a rule names no system call");
        }
        errno(rule.action(), rule.errno_ret())?;
    }
    Ok(())
}

fn errno(action: LinuxSeccompAction, errno: Option<u32>) -> Result<(), Invalid> {
    let answers = matches!(action, LinuxSeccompAction::ScmpActErrno | LinuxSeccompAction::ScmpActTrace);
    match errno {
        // Generators write a zero where they mean nothing.
        Some(1..) if !answers => {
            Invalid::rule(format!("seccomp: action {action:?} does not support an errno"))
        }
        _ => Ok(()),
    }
}
