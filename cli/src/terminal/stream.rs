//! Copies between the standard streams and a taken over connection, a plain thread a direction.
//!
//! Without a terminal the daemon sends frames: `[stream, 0, 0, 0, length (4, big endian)] payload`,
//! stream 1 is standard output, 2 standard error, 3 an error of the daemon itself.

use std::io::{self, Read, Write};
use std::thread;

use tokio::sync::mpsc;

use super::detach::{DetachKeys, Filter};
use super::raw::RawMode;
use crate::client::{Connection, Hijacked};
use crate::error::Failure;

/// Bytes copied at once.
const CHUNK: usize = 32 * 1024;
/// Largest message of the daemon about itself that is shown.
const MAX_SYSTEM_ERROR: u64 = 64 * 1024;

/// Which streams are joined, and how.
#[derive(Debug, Clone)]
pub(crate) struct Stdio {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    /// The container has a terminal: bytes are raw, and so becomes ours.
    pub(crate) tty: bool,
    pub(crate) detach: DetachKeys,
}

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The other side closed it.
    Closed,
    /// The user typed the keys to leave.
    Detached,
}

enum Ended {
    Output(io::Result<()>),
    Input,
    Detached,
}

/// Running copies.
#[derive(Debug)]
pub(crate) struct Attachment {
    ends: mpsc::UnboundedReceiver<Ended>,
    has_output: bool,
    raw: Option<RawMode>,
}

impl Attachment {
    /// Starts to copy.
    pub(crate) fn start(hijacked: Hijacked, stdio: Stdio) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::io("copy standard streams", &error);
        let raw = if stdio.tty && stdio.stdin && super::stdin_is_terminal() {
            Some(
                RawMode::enter()
                    .map_err(|error| Failure::io("unable to set IO streams as raw terminal", &error))?,
            )
        } else {
            None
        };
        let (reader, writer) = hijacked.split().map_err(failed)?;
        let (sender, ends) = mpsc::unbounded_channel();
        let has_output = stdio.stdout || stdio.stderr;
        if has_output {
            let (sender, stdio) = (sender.clone(), stdio.clone());
            let copy = move || {
                let result = if stdio.tty { copy_raw(reader) } else { copy_frames(reader, &stdio) };
                super::restore();
                // The receiver is gone when nobody waits for the output any more.
                drop(sender.send(Ended::Output(result)));
            };
            thread::Builder::new().name("output".into()).spawn(copy).map_err(failed)?;
        }
        let filter = (stdio.tty && stdio.stdin).then(|| stdio.detach.filter());
        let copy = move || {
            let detached = stdio.stdin && copy_input(&writer, filter);
            if detached {
                super::restore();
            } else {
                drop(writer.shutdown_write());
            }
            drop(sender.send(if detached { Ended::Detached } else { Ended::Input }));
        };
        thread::Builder::new().name("input".into()).spawn(copy).map_err(failed)?;
        Ok(Self { ends, has_output, raw })
    }

    /// Waits for the end of the output, or of the input when no output is attached.
    pub(crate) async fn finished(&mut self) -> Result<Outcome, Failure> {
        let outcome = loop {
            match self.ends.recv().await {
                Some(Ended::Output(Ok(()))) | None => break Ok(Outcome::Closed),
                Some(Ended::Output(Err(error))) if error.kind() == io::ErrorKind::BrokenPipe => {
                    break Err(Failure::broken_pipe());
                }
                Some(Ended::Output(Err(error))) => break Err(Failure::new(crate::error::io_text(&error))),
                Some(Ended::Input) if self.has_output => {}
                Some(Ended::Input) => break Ok(Outcome::Closed),
                Some(Ended::Detached) => break Ok(Outcome::Detached),
            }
        };
        drop(self.raw.take());
        outcome
    }
}

fn copy_raw(mut reader: impl Read) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    // Unbuffered: what a program prints appears at once.
    let mut stdout = rustix_writer(1);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => stdout.write_all(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Splits frames and writes each to its stream.
pub(super) fn copy_frames(mut reader: impl Read, stdio: &Stdio) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let (mut stdout, mut stderr) = (rustix_writer(1), rustix_writer(2));
    let mut header = [0u8; 8];
    while read_header(&mut reader, &mut header)? {
        let mut left = u64::from(u32::from_be_bytes([header[4], header[5], header[6], header[7]]));
        let target: Option<&mut Raw> = match header[0] {
            0 | 1 => stdio.stdout.then_some(&mut stdout),
            2 => stdio.stderr.then_some(&mut stderr),
            3 => {
                let mut message = String::new();
                reader.take(left.min(MAX_SYSTEM_ERROR)).read_to_string(&mut message)?;
                return Err(io::Error::other(format!("error from daemon in stream: {message}")));
            }
            stream => return Err(io::Error::other(format!("unrecognized stream: {stream}"))),
        };
        let mut target = target;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = reader.read(&mut buffer[..want])?;
            if read == 0 {
                return Ok(());
            }
            if let Some(target) = &mut target {
                target.write_all(&buffer[..read])?;
            }
            left -= read as u64;
        }
    }
    Ok(())
}

/// Reads a whole header; false at the end of the stream.
fn read_header(reader: &mut impl Read, header: &mut [u8; 8]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < header.len() {
        match reader.read(&mut header[filled..]) {
            Ok(0) => return Ok(false),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Copies standard input; true when the keys to leave were typed.
fn copy_input(writer: &Connection, mut filter: Option<Filter>) -> bool {
    let mut writer = WriteRef(writer);
    let mut buffer = vec![0; CHUNK];
    let mut passed = Vec::new();
    loop {
        let read = match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(read) => &buffer[..read],
        };
        let Some(filter) = &mut filter else {
            if writer.write_all(read).is_err() {
                return false;
            }
            continue;
        };
        passed.clear();
        let detached = filter.pass(read, &mut passed);
        if writer.write_all(&passed).is_err() {
            return false;
        }
        if detached {
            return true;
        }
    }
}

/// Writes through a shared handle of the connection.
struct WriteRef<'a>(&'a Connection);

impl Write for WriteRef<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.0 {
            Connection::Unix(stream) => (&*stream).write(buf),
            Connection::Tcp(stream) => (&*stream).write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One of the process's own output streams, unbuffered.
struct Raw(u8);

fn rustix_writer(fd: u8) -> Raw {
    Raw(fd)
}

impl Write for Raw {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let fd = if self.0 == 2 { rustix::stdio::stderr() } else { rustix::stdio::stdout() };
        Ok(rustix::io::write(fd, buf)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
