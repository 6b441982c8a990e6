//! Tar archives that are made of files here, and unpacked to files here.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tar::{Archive, Builder, EntryType, Header};

/// A writer into the sink of an upload.
pub(super) struct SinkWriter<'a>(pub(super) &'a mut dyn FnMut(&[u8]) -> io::Result<()>);

impl Write for SinkWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (self.0)(buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What of a tree goes into an archive.
pub(super) struct Choice<'a> {
    /// Asked with each path below the source.
    pub(super) wanted: &'a dyn Fn(&Path) -> bool,
    /// Whether directories that are not wanted may hold what is.
    pub(super) look_inside: bool,
}

impl Choice<'_> {
    /// Everything.
    pub(super) const ALL: Self = Self { wanted: &|_| true, look_inside: true };
}

/// Adds the file or tree at `source` under `name`.
pub(super) fn add(
    builder: &mut Builder<impl Write>,
    source: &Path,
    name: &Path,
    choice: &Choice<'_>,
) -> io::Result<()> {
    builder.follow_symlinks(false);
    add_below(builder, source, name, Path::new(""), choice)
}

fn add_below(
    builder: &mut Builder<impl Write>,
    root: &Path,
    name: &Path,
    below: &Path,
    choice: &Choice<'_>,
) -> io::Result<()> {
    let path = if below.as_os_str().is_empty() { root.to_path_buf() } else { root.join(below) };
    let found = std::fs::symlink_metadata(&path)?;
    let in_archive = name.join(below);
    if !found.is_dir() {
        use std::os::unix::fs::FileTypeExt;
        // A socket cannot be in an archive.
        if found.file_type().is_socket() {
            return Ok(());
        }
        return builder.append_path_with_name(&path, &in_archive);
    }
    let is_root = in_archive.as_os_str().is_empty() || in_archive == Path::new(".");
    if !is_root && (choice.wanted)(below) {
        builder.append_path_with_name(&path, &in_archive)?;
    }
    let mut entries: Vec<_> = std::fs::read_dir(&path)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let below = below.join(entry.file_name());
        if entry.file_type()?.is_dir() && choice.look_inside || (choice.wanted)(&below) {
            add_below(builder, root, name, &below, choice)?;
        }
    }
    Ok(())
}

/// Adds a file with these contents.
pub(super) fn add_bytes(builder: &mut Builder<impl Write>, name: &str, contents: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_size(contents.len() as u64);
    builder.append_data(&mut header, name, contents)
}

/// Unpacks into the directory `target`; nothing outside of it is touched. `keep_owners` gives files
/// the owners they have in the archive.
pub(super) fn unpack(source: impl Read, target: &Path, keep_owners: bool) -> io::Result<()> {
    let mut archive = Archive::new(source);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(keep_owners);
    archive.set_overwrite(true);
    archive.unpack(target)
}

/// Unpacks an archive of one thing to be known as `target`, whose parent exists. It is made beside
/// it first and then renamed.
pub(super) fn unpack_as(source: impl Read, target: &Path, keep_owners: bool) -> io::Result<()> {
    let parent =
        target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let draft = Draft(parent.join(format!(".cp-{}", std::process::id())));
    std::fs::create_dir(&draft.0)?;
    unpack(source, &draft.0, keep_owners)?;
    let unpacked = std::fs::read_dir(&draft.0)?.next().transpose()?;
    let unpacked = unpacked.ok_or_else(|| io::Error::other("the archive is empty"))?.path();
    std::fs::rename(unpacked, target)
}

/// A directory that goes when this does.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Opens a file for reading; the error names it.
pub(super) fn open(path: &Path) -> Result<File, crate::error::Failure> {
    File::open(path).map_err(|error| crate::error::Failure::io(format!("open {}", path.display()), &error))
}
