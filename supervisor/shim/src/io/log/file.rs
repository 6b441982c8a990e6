//! The files of a log: appending and rotation.
//!
//! `LOG` is the newest; on rotation `LOG` becomes `LOG.1`, `LOG.1` becomes `LOG.2`, and what exceeds the number of
//! files is removed. With one file only, it starts over.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dhow_linux::file::PathError;
use serde_json::value::RawValue;

use super::super::uri::LogOptions;
use super::encode::{self, Tail};

/// How much is gathered before it is written.
const BATCH: usize = 64 << 10;

/// The log of one container, open for appending.
#[derive(Debug)]
pub(crate) struct LogFile {
    options: LogOptions,
    file: File,
    size: u64,
    batch: Vec<u8>,
}

impl LogFile {
    /// Opens the log, making it if need be.
    pub(crate) fn open(options: LogOptions) -> Result<Self, PathError> {
        let file = open(&options.path, false)?;
        let size = file.metadata().map_err(PathError::at("stat", &options.path))?.len();
        Ok(Self { options, file, size, batch: Vec::new() })
    }

    pub(super) fn attrs(&self) -> Option<&RawValue> {
        self.options.attrs.as_deref()
    }

    /// Adds an entry, rotating first when the file is full.
    pub(super) fn append(&mut self, line: &[u8], ends: bool, tail: &Tail) -> Result<(), PathError> {
        let limit = self.options.max_size;
        if limit > 0 && self.size + self.batch.len() as u64 >= limit {
            self.flush()?;
            self.rotate()?;
        }
        encode::entry(&mut self.batch, line, ends, tail);
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) -> Result<(), PathError> {
        let written =
            self.file.write_all(&self.batch).map_err(PathError::at("append to log", &self.options.path));
        self.size += self.batch.len() as u64;
        // Dropped also when it could not be written: a full disk must not fill memory too.
        self.batch.clear();
        self.batch.shrink_to(4 << 10);
        written
    }

    fn rotate(&mut self) -> Result<(), PathError> {
        for number in (1..self.options.max_files).rev() {
            let from = if number == 1 { self.options.path.clone() } else { self.numbered(number - 1) };
            match std::fs::rename(&from, self.numbered(number)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(PathError::at("rotate log", &from)(error));
                }
                _ => {}
            }
        }
        self.file = open(&self.options.path, true)?;
        self.size = 0;
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.options.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

fn open(path: &Path, truncate: bool) -> Result<File, PathError> {
    if truncate {
        File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(path)
            .map_err(PathError::at("open log", path))?;
    }
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
        .map_err(PathError::at("open log", path))
}
