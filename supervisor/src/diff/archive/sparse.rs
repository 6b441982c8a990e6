//! Sparse files: where the data of a file with holes lies.
//!
//! Old GNU headers hold four segments and chain blocks of 21 more; pax 0.0 repeats two keys, 0.1 has one list, and 1.0
//! puts a decimal list in front of the data.

use std::io::Read;

use super::BLOCK;
use super::pax::number;
use super::read::{ArchiveError, Reader};

/// The most segments that one file may have: 64 MiB of alternating 4 KiB pages in the old form.
const LIMIT: usize = 1 << 20;

/// A piece of data at its place in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it starts in the file.
    pub(crate) offset: u64,
    /// How many bytes of the archive belong there.
    pub(crate) length: u64,
}

/// Pairs numbers into segments and checks that they are in order, do not overlap and end within `size`.
pub(super) fn segments(numbers: &[u64], size: u64) -> Result<Vec<Segment>, ArchiveError> {
    if !numbers.len().is_multiple_of(2) || numbers.len() / 2 > LIMIT {
        return Err(ArchiveError::Sparse);
    }
    let mut end = 0;
    let mut segments = Vec::with_capacity(numbers.len() / 2);
    for pair in numbers.chunks_exact(2) {
        let segment = Segment { offset: pair[0], length: pair[1] };
        let stop = segment.offset.checked_add(segment.length).ok_or(ArchiveError::Sparse)?;
        if segment.offset < end || stop > size {
            return Err(ArchiveError::Sparse);
        }
        end = stop;
        if segment.length > 0 {
            segments.push(segment);
        }
    }
    Ok(segments)
}

/// The comma-separated list of pax 0.1.
pub(super) fn list(map: &[u8]) -> Result<Vec<u64>, ArchiveError> {
    map.split(|byte| *byte == b',').map(|text| number(text).ok_or(ArchiveError::Sparse)).collect()
}

impl<R: Read> Reader<R> {
    /// The segments of an old GNU sparse header, with the blocks that continue it.
    pub(super) fn old_gnu_sparse(&mut self, header: &tar::GnuHeader) -> Result<Vec<u64>, ArchiveError> {
        let mut numbers = Vec::new();
        let mut collect = |entries: &[tar::GnuSparseHeader]| -> Result<(), ArchiveError> {
            for entry in entries.iter().filter(|entry| !entry.is_empty()) {
                numbers.push(entry.offset().map_err(|_| ArchiveError::Sparse)?);
                numbers.push(entry.length().map_err(|_| ArchiveError::Sparse)?);
            }
            if numbers.len() / 2 > LIMIT { Err(ArchiveError::Sparse) } else { Ok(()) }
        };
        collect(&header.sparse)?;
        let mut more = header.is_extended();
        while more {
            let mut block = tar::GnuExtSparseHeader::new();
            self.read_block(block.as_mut_bytes())?;
            collect(block.sparse())?;
            more = block.is_extended();
        }
        Ok(numbers)
    }

    /// The list of pax 1.0, which the data begins with, padded to whole blocks.
    pub(super) fn leading_sparse(&mut self) -> Result<Vec<u64>, ArchiveError> {
        let mut lines = Lines { reader: self, block: [0; BLOCK], at: BLOCK };
        let count = usize::try_from(lines.number()?).ok().filter(|count| *count <= LIMIT);
        let count = count.ok_or(ArchiveError::Sparse)?;
        (0..count * 2).map(|_| lines.number()).collect()
    }
}

/// Decimal lines in whole blocks of an entry's data.
struct Lines<'a, R> {
    reader: &'a mut Reader<R>,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64, ArchiveError> {
        let mut value: u64 = 0;
        let mut digits = 0;
        loop {
            if self.at == BLOCK {
                self.reader.read_data_block(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'0'..=b'9' if digits < 19 => {
                    value = value * 10 + u64::from(byte - b'0');
                    digits += 1;
                }
                b'\n' if digits > 0 => return Ok(value),
                _ => return Err(ArchiveError::Sparse),
            }
        }
    }
}
