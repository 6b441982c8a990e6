//! A connection taken over for raw bytes, in blocking mode: two plain threads copy it faster and
//! with less ceremony than an executor.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use bytes::{Buf, Bytes};

/// One direction-less handle of the connection.
#[derive(Debug)]
pub(crate) enum Connection {
    /// Over a socket in the file system.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
}

impl Connection {
    fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
        })
    }

    /// Tells the daemon that no more input comes.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buf),
            Self::Tcp(stream) => stream.read(buf),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(buf),
            Self::Tcp(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A taken over connection.
#[derive(Debug)]
pub(crate) struct Hijacked {
    connection: Connection,
    /// Bytes that came together with the answer's head.
    ahead: Bytes,
}

impl Hijacked {
    pub(super) fn new(connection: Connection, ahead: Bytes) -> Self {
        Self { connection, ahead }
    }

    /// The two halves: what comes from the daemon, and the way to it.
    pub(crate) fn split(self) -> io::Result<(impl Read + Send + 'static, Connection)> {
        let reader = self.connection.try_clone()?;
        Ok((self.ahead.reader().chain(reader), self.connection))
    }
}
