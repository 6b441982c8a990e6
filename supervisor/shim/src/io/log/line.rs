//! Output cut into lines.

use super::encode::Tail;

/// The most bytes of one line in one log entry, as in Docker.
pub(super) const LINE_LIMIT: usize = 16 << 10;

/// Cuts one stream into lines, keeping the unfinished one.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    /// The tail of the first entry of a long line: its later entries carry the same time.
    started: Option<Tail>,
}

impl Lines {
    /// Cuts `bytes`, calling `entry(line, whether it ends there, tail)` for each entry.
    pub(super) fn push(&mut self, mut bytes: &[u8], tail: &Tail, mut entry: impl FnMut(&[u8], bool, &Tail)) {
        while !bytes.is_empty() {
            let room = LINE_LIMIT - self.pending.len();
            let window = &bytes[..room.min(bytes.len())];
            if let Some(end) = window.iter().position(|&byte| byte == b'\n') {
                let tail = self.started.take().unwrap_or_else(|| tail.clone());
                if self.pending.is_empty() {
                    entry(&bytes[..end], true, &tail);
                } else {
                    self.pending.extend_from_slice(&bytes[..end]);
                    entry(&self.pending, true, &tail);
                    self.pending.clear();
                }
                bytes = &bytes[end + 1..];
            } else if window.len() < room {
                self.pending.extend_from_slice(window);
                return;
            } else {
                self.pending.extend_from_slice(window);
                bytes = &bytes[room..];
                self.cut(tail, &mut entry);
            }
        }
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    /// The unfinished line, if there is one.
    pub(super) fn finish(&mut self, tail: &Tail) -> Option<(Vec<u8>, Tail)> {
        let tail = self.started.take().unwrap_or_else(|| tail.clone());
        (!self.pending.is_empty()).then(|| (std::mem::take(&mut self.pending), tail))
    }

    /// Emits a full buffer, up to the last whole character in it.
    fn cut(&mut self, tail: &Tail, entry: &mut impl FnMut(&[u8], bool, &Tail)) {
        let tail = self.started.get_or_insert_with(|| tail.clone());
        let last_start = self.pending.iter().rposition(|&byte| byte & 0xc0 != 0x80);
        let end = match last_start {
            Some(start) if is_cut_character(&self.pending[start..]) => start,
            _ => self.pending.len(),
        };
        entry(&self.pending[..end], false, tail);
        self.pending.drain(..end);
    }
}

/// Whether `bytes` are the beginning, and no more, of a UTF-8 character.
fn is_cut_character(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
