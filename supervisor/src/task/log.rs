//! What shims have to say: lines on the `log` FIFO of a bundle, passed on to our own log.

use std::path::Path;

use dhow_linux::file::PathError;
use nix::errno::Errno;
use nix::sys::stat::Mode;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

/// The longest line that is passed on.
const LINE_LIMIT: usize = 4 << 10;

/// Reads a shim's log until dropped.
#[derive(Debug)]
pub(crate) struct ShimLog(JoinHandle<()>);

impl ShimLog {
    /// Opens the FIFO at `path`, making it if need be, for the shim of task `id`.
    pub(crate) fn open(path: &Path, id: &str) -> Result<Self, PathError> {
        match nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o700)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(PathError::at("make fifo", path)(error.into())),
        }
        // Open for writing too, so that it does not end between two writers.
        let fifo = pipe::OpenOptions::new().read_write(true).open_receiver(path);
        let fifo = fifo.map_err(PathError::at("open fifo", path))?;
        let id = id.to_owned();
        Ok(Self(tokio::spawn(async move {
            let mut lines = BufReader::with_capacity(1 << 10, fifo);
            let mut line = Vec::new();
            loop {
                line.clear();
                let mut limited = tokio::io::AsyncReadExt::take(&mut lines, LINE_LIMIT as u64);
                match limited.read_until(b'\n', &mut line).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return,
                }
                let text = String::from_utf8_lossy(&line);
                tracing::debug!(task = %id, "shim: {}", text.trim_end());
            }
        })))
    }
}

impl Drop for ShimLog {
    fn drop(&mut self) {
        self.0.abort();
    }
}
