//! Kills a program in the middle of its work: at one of its system calls, counted from its start.
//!
//! Moments of the clock hit what takes long; calls hit every step, however short, and the same one every time.

use std::process::{Command, Stdio};

use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Runs `command` and kills it when it enters or leaves a system call for the `last`th time; its children are not
/// touched. Gives the number of such moments that it came to: less than `last` when it ended before.
///
/// # Panics
/// When it cannot be started or traced.
#[must_use]
pub fn kill_at(command: &Command, last: usize) -> usize {
    // It stops itself before it becomes the program: from then on every call is seen.
    let mut stopped = Command::new("sh");
    stopped
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    stopped.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = stopped.spawn().expect("start a shell");
    let pid = Pid::from_raw(child.id().cast_signed());
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("it stops");
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC).expect("trace it");
    kill(pid, Signal::SIGCONT).expect("let it go on");
    let moments = follow(pid, last);
    // It is gone; this only tells `child` so.
    drop(child.try_wait());
    moments
}

fn follow(pid: Pid, last: usize) -> usize {
    let (mut moments, mut is_program) = (0, false);
    loop {
        let signal = match waitpid(pid, None).expect("wait for it") {
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return moments,
            WaitStatus::PtraceEvent(_, Signal::SIGTRAP, event) => {
                is_program |= event == ptrace::Event::PTRACE_EVENT_EXEC as i32;
                None
            }
            WaitStatus::PtraceSyscall(_) if is_program => {
                moments += 1;
                if moments == last {
                    kill(pid, Signal::SIGKILL).expect("kill it");
                    waitpid(pid, None).expect("it ends");
                    return moments;
                }
                None
            }
            WaitStatus::Stopped(_, signal) if signal != Signal::SIGTRAP && is_program => Some(signal),
            _ => None,
        };
        if ptrace::syscall(pid, signal).is_err() {
            // Somebody else killed it; the next wait tells.
            continue;
        }
    }
}
