//! One pass from compressed bytes to files: `decompress | hash, write`, on a thread each.
//!
//! Inflating takes most of the time (three quarters of it for gzip), so it has a thread of its own; hashing and
//! writing share the other. Buffers go round between the two, so a layer costs a megabyte whatever its size.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::apply::{Applied, ApplyError, apply};
use super::compression;
use super::whiteout::Target;
use crate::content::{Algorithm, Digest, Digester};

/// The size of a buffer between the two threads.
const BUFFER: usize = 256 << 10;
/// How many buffers may wait to be written.
const DEPTH: usize = 4;

/// A layer that was unpacked.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The digest of the uncompressed archive: the diff ID of the layer.
    pub(crate) diff_id: Digest,
    /// Length of the uncompressed archive.
    pub(crate) size: u64,
    /// What was made.
    pub(crate) applied: Applied,
}

/// Unpacks the layer in `input`, compressed or not, to the tree at `root`. All of `input` is read when it succeeds.
pub(crate) fn unpack(input: impl Read + Send, root: &Path, target: Target) -> Result<Unpacked, ApplyError> {
    let (full_sender, full) = sync_channel(DEPTH);
    let (empty, empty_receiver) = channel();
    thread::scope(|scope| {
        scope.spawn(move || inflate(input, &full_sender, &empty_receiver));
        let mut archive = Inflated {
            full,
            empty,
            buffer: Vec::new(),
            at: 0,
            hash: Digester::new(Algorithm::Sha256),
            size: 0,
        };
        let applied = apply(&mut archive, root, target)?;
        Ok(Unpacked { diff_id: archive.hash.digest(), size: archive.size, applied })
    })
}

/// Decompresses `input` into buffers until its end, or until nobody takes them.
fn inflate(input: impl Read + Send, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    let mut archive = match compression::decode(input) {
        Ok(archive) => archive,
        Err(error) => return drop(full.send(Err(error))),
    };
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(BUFFER, 0);
        match fill(&mut archive, &mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                buffer.truncate(count);
                if full.send(Ok(buffer)).is_err() {
                    return;
                }
            }
            Err(error) => return drop(full.send(Err(error))),
        }
    }
}

/// Reads until `buffer` is full or the input ends.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The archive as the other thread inflates it, hashed as it is read.
struct Inflated {
    full: Receiver<io::Result<Vec<u8>>>,
    empty: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    at: usize,
    hash: Digester,
    size: u64,
}

impl Inflated {
    /// What is left of the current buffer, or the next one; empty at the end.
    fn rest(&mut self) -> io::Result<&[u8]> {
        if self.at == self.buffer.len() {
            // The other thread ended: either it said why, or this is the end.
            let Ok(next) = self.full.recv() else { return Ok(&[]) };
            let next = next?;
            self.hash.update(&next);
            self.size += next.len() as u64;
            drop(self.empty.send(std::mem::replace(&mut self.buffer, next)));
            self.at = 0;
        }
        Ok(&self.buffer[self.at..])
    }
}

impl Read for Inflated {
    fn read(&mut self, mut buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.rest()?;
        let count = rest.len().min(buffer.len());
        buffer.write_all(&rest[..count])?;
        self.at += count;
        Ok(count)
    }
}
