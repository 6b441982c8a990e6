//! Docker's json-file log, written by the shim itself: no daemon stands between a container and its log.
//!
//! Owns: cutting output into lines ([`Lines`]), their encoding ([`encode`]) and the files with their rotation
//! ([`LogFile`]). A line longer than [`line::LINE_LIMIT`] becomes several entries, all but the last without a newline.

mod encode;
mod file;
mod line;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use dhow_linux::file::PathError;
use encode::Tail;
pub(crate) use file::LogFile;
use line::Lines;

use super::Stream;

/// One stream's way into a log file that it shares with the other stream.
#[derive(Debug)]
pub(crate) struct LogStream {
    file: Rc<RefCell<LogFile>>,
    stream: Stream,
    lines: Lines,
}

impl LogStream {
    /// The way of `stream` into `file`.
    pub(crate) fn new(file: Rc<RefCell<LogFile>>, stream: Stream) -> Self {
        Self { file, stream, lines: Lines::default() }
    }

    /// Logs what was read at `time`; an unfinished line waits for its end.
    pub(crate) fn write(&mut self, bytes: &[u8], time: SystemTime) -> Result<(), PathError> {
        let mut file = self.file.borrow_mut();
        let tail = Tail::new(self.stream, file.attrs(), time);
        let mut result = Ok(());
        self.lines.push(bytes, &tail, |line, ends, tail| {
            if result.is_ok() {
                result = file.append(line, ends, tail);
            }
        });
        result.and_then(|()| file.flush())
    }

    /// Logs a last line that has no end.
    pub(crate) fn finish(&mut self) -> Result<(), PathError> {
        let mut file = self.file.borrow_mut();
        let tail = Tail::new(self.stream, file.attrs(), SystemTime::now());
        if let Some((line, tail)) = self.lines.finish(&tail) {
            file.append(&line, false, &tail)?;
        }
        file.flush()
    }
}
