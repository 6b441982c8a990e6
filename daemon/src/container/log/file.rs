//! A place in a log: which of its files, and where in it. Rotation renames files under a reader's hands; a reader keeps
//! the file it has open until its end, then finds the next newer one by its inode.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncSeekExt, BufReader};

use super::line::Line;
use super::tail;

/// The most rotated files that are looked for.
const FILES: usize = 1000;
/// The longest line that is believed: a shim writes at most 16 KiB of text, escaped, and attributes.
const LINE_LIMIT: usize = 4 << 20;

/// A place in a log.
pub(super) struct Cursor {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    reader: BufReader<tokio::fs::File>,
    device: u64,
    inode: u64,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
    /// Bytes read so far.
    at: u64,
}

impl Cursor {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Goes to the first line, or to the first of the last `tail` lines.
    pub(super) async fn begin(&mut self, tail: Option<usize>) -> io::Result<()> {
        let path = self.path.clone();
        let found = tokio::task::spawn_blocking(move || start(&path, tail)).await;
        if let Some((file, offset)) = found.unwrap_or_else(|_| Ok(None))? {
            self.open = Some(Open::new(file, offset).await?);
        }
        Ok(())
    }

    /// The next line; `None` when there is none yet.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let Some(open) = &mut self.open else {
                match File::open(&self.path) {
                    Ok(file) => self.open = Some(Open::new(file, 0).await?),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(error),
                }
                continue;
            };
            if let Some(line) = open.next().await? {
                return Ok(Some(line));
            }
            let Some(newer) = newer(&self.path, open)? else { return Ok(None) };
            // The old file may have grown between its end and its renaming.
            if let Some(line) = open.next().await? {
                return Ok(Some(line));
            }
            self.open = Some(Open::new(newer, 0).await?);
        }
    }
}

impl Open {
    async fn new(file: File, offset: u64) -> io::Result<Self> {
        let data = file.metadata()?;
        let mut file = tokio::fs::File::from_std(file);
        file.seek(io::SeekFrom::Start(offset)).await?;
        let reader = BufReader::with_capacity(64 << 10, file);
        Ok(Self { reader, device: data.dev(), inode: data.ino(), partial: Vec::new(), at: offset })
    }

    fn is(&self, data: &Metadata) -> bool {
        (self.device, self.inode) == (data.dev(), data.ino())
    }

    async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let count = self.reader.read_until(b'\n', &mut self.partial).await?;
            self.at += u64::try_from(count).unwrap_or_default();
            if self.partial.last() != Some(&b'\n') {
                if self.partial.len() > LINE_LIMIT {
                    self.partial.clear();
                }
                return Ok(None);
            }
            let parsed = serde_json::from_slice(&self.partial);
            self.partial.clear();
            match parsed {
                Ok(line) => return Ok(Some(line)),
                // Half a line that a crash left behind: the next one is whole.
                Err(error) => tracing::debug!(%error, "skipped a line of a log"),
            }
        }
    }
}

/// The file after the one that is open; `None` while that is the newest.
fn newer(path: &Path, open: &Open) -> io::Result<Option<File>> {
    let current = match File::open(path) {
        Ok(file) => file,
        // Between two renames of a rotation.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let data = current.metadata()?;
    if open.is(&data) {
        // Emptied in place: everything in it is new.
        return Ok((data.len() < open.at).then_some(current));
    }
    let mut next = current;
    for number in 1..FILES {
        let Ok(file) = File::open(rotated(path, number)) else { break };
        if open.is(&file.metadata()?) {
            break;
        }
        next = file;
    }
    Ok(Some(next))
}

fn rotated(path: &Path, number: usize) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    name.into()
}

/// The file and the offset to begin at.
fn start(path: &Path, tail: Option<usize>) -> io::Result<Option<(File, u64)>> {
    let mut files = Vec::new();
    for number in 0..FILES {
        let name = if number == 0 { path.to_owned() } else { rotated(path, number) };
        match File::open(name) {
            Ok(file) => files.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
    }
    let Some(tail) = tail else {
        return Ok(files.pop().map(|oldest| (oldest, 0)));
    };
    let mut missing = tail;
    let mut begin = None;
    for mut file in files {
        let (offset, found) = tail::start_of_last(&mut file, missing)?;
        begin = Some((file, offset));
        missing -= found;
        if missing == 0 {
            break;
        }
    }
    Ok(begin)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(path: &Path, texts: &[&str]) {
        let mut file = File::options().append(true).create(true).open(path).expect("open");
        for text in texts {
            writeln!(file, "{{\"log\":\"{text}\",\"stream\":\"stdout\",\"time\":\"2026-11-21T20:52:10Z\"}}")
                .expect("write");
        }
    }

    async fn texts(cursor: &mut Cursor) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(line) = cursor.next().await.expect("read") {
            texts.push(line.log);
        }
        texts
    }

    #[tokio::test]
    async fn rotated_files_come_first_and_the_tail_reaches_into_them() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("log");
        write(&rotated(&path, 2), &["a", "b"]);
        write(&rotated(&path, 1), &["c"]);
        write(&path, &["d", "e"]);
        for (tail, expected) in [
            (None, "a b c d e"),
            (Some(3), "c d e"),
            (Some(4), "b c d e"),
            (Some(9), "a b c d e"),
            (Some(0), ""),
        ] {
            let mut cursor = Cursor::new(path.clone());
            cursor.begin(tail).await.expect("begin");
            assert_eq!(texts(&mut cursor).await.join(" "), expected, "{tail:?}");
        }
    }

    #[tokio::test]
    async fn a_reader_loses_nothing_over_several_rotations() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("log");
        let mut cursor = Cursor::new(path.clone());
        cursor.begin(None).await.expect("begin");
        assert_eq!(texts(&mut cursor).await, [""; 0]);
        write(&path, &["a"]);
        assert_eq!(texts(&mut cursor).await, ["a"]);
        write(&path, &["b"]);
        for text in ["c", "d"] {
            for number in (1..3).rev() {
                drop(std::fs::rename(rotated(&path, number), rotated(&path, number + 1)));
            }
            std::fs::rename(&path, rotated(&path, 1)).expect("rotate");
            write(&path, &[text]);
        }
        assert_eq!(texts(&mut cursor).await, ["b", "c", "d"]);
    }

    #[tokio::test]
    async fn half_a_line_waits_for_its_other_half_and_rubbish_is_skipped() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("log");
        std::fs::write(&path, "rubbish\n{\"log\":\"a").expect("write");
        let mut cursor = Cursor::new(path.clone());
        cursor.begin(None).await.expect("begin");
        assert_eq!(texts(&mut cursor).await, [""; 0]);
        let mut file = File::options().append(true).open(&path).expect("open");
        file.write_all(b"b\"}\n").expect("write");
        assert_eq!(texts(&mut cursor).await, ["ab"]);
    }
}
