//! A real terminal for tests: a pseudo-terminal pair whose user side is a child process.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::process::{DEADLINE, code, eventually, wait};

/// A command that believes it talks to a person.
#[derive(Debug)]
pub struct Terminal {
    manager: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts `command` with a terminal of 80 columns and 24 rows as its three streams and its controlling terminal.
    ///
    /// # Panics
    /// When no pseudo-terminal can be made or the command cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start(command: &Command) -> Self {
        let manager =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("open a pty");
        grantpt(&manager).and_then(|()| unlockpt(&manager)).expect("unlock the pty");
        let name = ptsname(&manager, Vec::new()).expect("name of the pty");
        let name = name.into_string().expect("UTF-8 name");
        let user: OwnedFd =
            File::options().read(true).write(true).open(&name).expect("open the user side").into();
        let stream = || Stdio::from(user.try_clone().expect("duplicate"));
        // setsid makes the child the leader of a session and the terminal its controlling one.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg("--wait").arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                session.env(key, value);
            }
        }
        let child =
            session.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("start in a terminal");
        let mut terminal = Self { manager: manager.into(), child, seen: String::new() };
        terminal.resize(80, 24);
        terminal
    }

    /// Changes the size, as a person dragging the window would.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.manager, size).expect("resize the terminal");
    }

    /// Types `text`.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_text(&mut self, text: &str) {
        self.manager.write_all(text.as_bytes()).expect("type into the terminal");
    }

    /// Reads until `text` appeared in what was not matched before, and gives everything up to its end.
    ///
    /// # Panics
    /// With what was seen, when it never appears.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(Instant::now() < end && self.read(), "no {text:?} in {:?}", self.seen);
        }
    }

    /// Types `stty size` into a shell until it answers `rows columns`: a size may arrive a moment after the shell.
    ///
    /// # Panics
    /// When it never does.
    #[track_caller]
    pub fn expect_size(&mut self, columns: u16, rows: u16) {
        eventually("the size arrives", || self.ask_size() == format!("{rows} {columns}"));
    }

    /// Changes the size until a shell sees it: a client that does not listen yet misses the signal.
    ///
    /// # Panics
    /// When the shell never does.
    #[track_caller]
    pub fn resize_seen(&mut self, columns: u16, rows: u16) {
        eventually("the new size arrives", || {
            self.resize(columns - 1, rows);
            self.resize(columns, rows);
            self.ask_size() == format!("{rows} {columns}")
        });
    }

    /// What a shell says of its size. Its line editor draws the question anew when the window changes under it.
    #[track_caller]
    fn ask_size(&mut self) -> String {
        self.type_text("stty size\r");
        loop {
            let line = self.expect("\r\n");
            let line = line.trim_end();
            if line.split(' ').count() == 2 && line.split(' ').all(|word| word.parse::<u16>().is_ok()) {
                return line.to_owned();
            }
        }
    }

    /// Waits for the end, and gives the exit status and what was not matched before.
    ///
    /// # Panics
    /// When the command does not end.
    #[track_caller]
    pub fn finish(mut self) -> (i32, String) {
        while self.read() {}
        let status = wait(&mut self.child, DEADLINE).expect("the command ends");
        (code(status), std::mem::take(&mut self.seen))
    }

    /// Reads once; `false` when the user side was closed or stayed silent past the deadline.
    fn read(&mut self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec { tv_sec: i64::try_from(DEADLINE.as_secs()).expect("small"), tv_nsec: 0 };
        let mut fds = [PollFd::new(&self.manager, PollFlags::IN)];
        if !matches!(poll(&mut fds, Some(&timeout)), Ok(1)) {
            return false;
        }
        let mut bytes = [0; 4096];
        match self.manager.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            wait(&mut self.child, Duration::from_secs(5));
        }
    }
}
