//! Children with more descriptors than the standard three, with all signals, or that die with their parent.

#![expect(unsafe_code, reason = "std does none of it for a child")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the child of `command` find each descriptor of `passed` at its number; they close here with `command`.
///
/// Numbers must be 3 or more and differ from each other.
pub fn pass_fds(command: &mut Command, passed: Vec<(OwnedFd, RawFd)>) -> std::io::Result<&mut Command> {
    // Moved out of the way first, so that no target number is also a source that is still needed.
    let free = passed.iter().map(|(_, number)| number + 1).max().unwrap_or(3).max(3);
    let sources = passed
        .into_iter()
        .map(|(fd, number)| Ok((rustix::io::fcntl_dupfd_cloexec(&fd, free)?, number)))
        .collect::<rustix::io::Result<Vec<_>>>()?;
    let place = move || {
        for (fd, number) in &sources {
            // SAFETY: dup2 takes any two numbers; `fd` is open, as this closure owns it, and what stood at `number`
            // belongs to nobody in the new child, which is about to exec.
            if unsafe { libc::dup2(fd.as_raw_fd(), *number) } < 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only calls dup2, which is async-signal-safe, and allocates nothing:
    // an error from errno holds no memory.
    Ok(unsafe { command.pre_exec(place) })
}

/// Lets the child of `command` get every signal: what the caller blocks to read it from a descriptor, a child would
/// block for ever.
pub fn unblock_signals(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec the closure only calls sigprocmask, which is async-signal-safe, and allocates
    // nothing.
    unsafe { command.pre_exec(crate::signal::unblock_all) }
}

/// Has the child of `command` killed when the thread that starts it ends: nobody would learn what it did.
pub fn die_with_parent(command: &mut Command) -> &mut Command {
    let ask = || Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?);
    // SAFETY: between fork and exec the closure only calls prctl, which is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(ask) }
}

/// Takes over descriptor `number` that the parent has passed, and keeps it from our own children.
///
/// # Errors
/// When it is not open, was taken over before, or belongs to something in this process.
pub fn inherited(number: RawFd) -> std::io::Result<OwnedFd> {
    // SAFETY: fcntl takes any number; this only reads a flag.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(std::io::Error::last_os_error());
    }
    if number < 3 || flags & libc::FD_CLOEXEC != 0 {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: as above; it only sets a flag.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: it is open, and nobody in this process owns it: what this process opens is close-on-exec, as is what
    // was taken over here before.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_child_finds_descriptors_where_it_expects_them() {
        let (mut reader, writer) = std::io::pipe().expect("pipe");
        let (mut other_reader, other_writer) = std::io::pipe().expect("pipe");
        let mut command = Command::new("sh");
        command.args(["-c", "echo three >&3; echo four >&4"]).stdin(Stdio::null());
        let passed = vec![(writer.into(), 3), (other_writer.into(), 4)];
        let mut child = pass_fds(&mut command, passed).expect("duplicates").spawn().expect("sh");
        drop(command);
        let mut texts = (String::new(), String::new());
        reader.read_to_string(&mut texts.0).expect("read");
        other_reader.read_to_string(&mut texts.1).expect("read");
        assert_eq!((texts.0.as_str(), texts.1.as_str()), ("three\n", "four\n"));
        assert!(child.wait().expect("wait").success());
    }
}
