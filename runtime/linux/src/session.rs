//! `setsid(2)` for a child that must not share its parent's session.

#![expect(unsafe_code, reason = "pre_exec is unsafe: the closure runs in the forked child")]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes `command` lead a session of its own: a terminal's hangup or a signal to its parent's group passes it by.
pub fn detach(command: &mut Command) -> &mut Command {
    // SAFETY: the closure runs between fork and exec and makes one system call, which is async-signal-safe; it touches
    // no memory of the parent.
    unsafe { command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(std::io::Error::from)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detached_child_leads_its_session() {
        let mut command = Command::new("sh");
        command.args(["-c", "cut -d' ' -f1,6 /proc/$$/stat"]).stdout(std::process::Stdio::piped());
        let output = detach(&mut command).output().expect("shell");
        let text = String::from_utf8(output.stdout).expect("text");
        let (pid, session) = text.trim().split_once(' ').expect("two numbers");
        assert_eq!(pid, session);
    }
}
