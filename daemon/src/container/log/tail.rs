//! Where the last lines of a file begin.

use std::io::{self, Read, Seek, SeekFrom};

/// How much is read at once, from the end on.
const PIECE: u64 = 64 << 10;

/// The offset at which the last `count` lines of `file` begin, and how many lines were found up to `count`.
pub(super) fn start_of_last(file: &mut (impl Read + Seek), count: usize) -> io::Result<(u64, usize)> {
    let length = file.seek(SeekFrom::End(0))?;
    if count == 0 || length == 0 {
        return Ok((length, 0));
    }
    let mut found = 0;
    let mut end = length;
    let mut piece = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        file.seek(SeekFrom::Start(start))?;
        piece.clear();
        file.by_ref().take(end - start).read_to_end(&mut piece)?;
        for (place, _) in piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = start + u64::try_from(place).unwrap_or_default() + 1;
            if after == length {
                continue;
            }
            found += 1;
            if found == count {
                return Ok((after, found));
            }
        }
        end = start;
    }
    Ok((0, found + 1))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_last_lines_are_found() {
        let start = |text: &str, count| start_of_last(&mut Cursor::new(text), count).expect("memory");
        assert_eq!(start("a\nb\nc\n", 1), (4, 1));
        assert_eq!(start("a\nb\nc\n", 2), (2, 2));
        assert_eq!(start("a\nb\nc\n", 3), (0, 3));
        assert_eq!(start("a\nb\nc\n", 9), (0, 3));
        assert_eq!(start("a\nb\nc", 1), (4, 1), "also a line without an end");
        assert_eq!(start("a\nb\n", 0), (4, 0));
        assert_eq!(start("", 5), (0, 0));
    }

    #[test]
    fn lines_longer_than_a_piece_are_found() {
        let long = "x".repeat(200_000);
        let text = format!("{long}\n{long}\nshort\n");
        assert_eq!(start_of_last(&mut Cursor::new(&text), 2).expect("memory"), (200_001, 2));
    }
}
