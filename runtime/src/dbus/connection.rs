//! A connection to a bus, or straight to a program that speaks D-Bus.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::BusError;
use super::message::{Call, FIXED, Incoming, Signal, decode, length};
use super::value::Value;

/// How long an answer may take: systemd may be busy with a whole boot.
const PATIENCE: Duration = Duration::from_secs(25);

/// The credentials of the socket say who we are: a UID of our own counting would be wrong in a user namespace.
const AUTHENTICATION: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A bus.
    Bus(PathBuf),
    /// The program itself.
    Direct(PathBuf),
}

impl Address {
    /// The bus of the first Unix socket in a list of addresses as environment variables have them.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn parse(text: &str) -> Result<Self, BusError> {
        let path = |address: &str| {
            let parts = address.strip_prefix("unix:")?;
            parts.split(',').find_map(|part| part.strip_prefix("path=")).map(unescape)
        };
        text.split(';').find_map(path).map(Self::Bus).ok_or_else(|| BusError::Address(text.to_owned()))
    }
}

/// `%2d` and the like.
fn unescape(text: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.filter(|_| first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(code.unwrap_or(first));
        rest = if code.is_some() { others.get(2..).unwrap_or_default() } else { others };
    }
    std::ffi::OsString::from_vec(plain).into()
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    direct: bool,
    serial: u32,
    /// Came in while something else was waited for.
    signals: VecDeque<Signal>,
}

impl Connection {
    /// Connects, and says who we are.
    ///
    /// # Errors
    /// When nobody listens, or refuses us.
    pub(crate) fn open(address: &Address) -> Result<Self, BusError> {
        let (path, direct) = match address {
            Address::Bus(path) => (path, false),
            Address::Direct(path) => (path, true),
        };
        let stream =
            UnixStream::connect(path).map_err(|source| BusError::Connect { path: path.clone(), source })?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut connection = Self { stream, direct, serial: 0, signals: VecDeque::new() };
        connection.authenticate()?;
        if !direct {
            connection.ask_bus("Hello", Vec::new())?;
        }
        Ok(connection)
    }

    fn authenticate(&mut self) -> Result<(), BusError> {
        self.stream.write_all(AUTHENTICATION)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self.line(end)?;
            if line.starts_with("OK ") {
                return Ok(());
            }
            if line != "DATA" {
                return Err(BusError::Refused(line));
            }
        }
    }

    /// One line, byte by byte: what follows the last is not text any more.
    fn line(&mut self, end: Instant) -> Result<String, BusError> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.fill(&mut byte, end)?;
            line.extend(byte);
            if line.len() > 1024 {
                return Err(BusError::Malformed);
            }
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn fill(&mut self, buffer: &mut [u8], end: Instant) -> Result<(), BusError> {
        let mut rest = buffer;
        while !rest.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(BusError::Timeout);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(rest) {
                Ok(0) => return Err(BusError::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn ask_bus(&mut self, method: &str, arguments: Vec<Value>) -> Result<Vec<Value>, BusError> {
        let name = "org.freedesktop.DBus";
        let path = "/org/freedesktop/DBus";
        self.call(&Call { destination: name, path, interface: name, method, arguments })
    }

    /// Has signals of `interface` named `member` delivered; a direct connection gets all anyway.
    ///
    /// # Errors
    /// When the bus refuses.
    pub(crate) fn subscribe(&mut self, interface: &str, member: &str) -> Result<(), BusError> {
        if self.direct {
            return Ok(());
        }
        let rule = format!("type='signal',interface='{interface}',member='{member}'");
        self.ask_bus("AddMatch", vec![Value::String(rule)]).map(drop)
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    /// When the answer is an error, or there is none in time.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Vec<Value>, BusError> {
        self.serial += 1;
        self.stream.write_all(&call.encode(self.serial, self.direct))?;
        let end = Instant::now() + PATIENCE;
        loop {
            match self.receive(end)? {
                Incoming::Reply(serial, values) if serial == self.serial => return Ok(values),
                Incoming::Error(serial, name, text) if serial == self.serial => {
                    return Err(BusError::Remote { name, text });
                }
                Incoming::Signal(signal) => self.signals.push_back(signal),
                _ => {}
            }
        }
    }

    /// Waits until `wanted` finds what it looks for in the arguments of a signal of that name; signals that came
    /// during a call count too.
    ///
    /// # Errors
    /// When it does not come in time.
    pub(crate) fn wait_for<T>(
        &mut self,
        interface: &str,
        member: &str,
        patience: Duration,
        wanted: impl Fn(&[Value]) -> Option<T>,
    ) -> Result<T, BusError> {
        let end = Instant::now() + patience;
        loop {
            let signal = match self.signals.pop_front() {
                Some(signal) => signal,
                None => match self.receive(end)? {
                    Incoming::Signal(signal) => signal,
                    _ => continue,
                },
            };
            let named = signal.interface == interface && signal.member == member;
            if let Some(found) = named.then(|| wanted(&signal.arguments)).flatten() {
                return Ok(found);
            }
        }
    }

    fn receive(&mut self, end: Instant) -> Result<Incoming, BusError> {
        let mut fixed = [0; FIXED];
        self.fill(&mut fixed, end)?;
        let mut bytes = vec![0; length(&fixed)?];
        let (head, rest) = bytes.split_at_mut(FIXED);
        head.copy_from_slice(&fixed);
        self.fill(rest, end)?;
        decode(&bytes)
    }
}
