//! `mkfs/`: the source is a file that is made, with an empty file system in it, unless it is there.
//!
//! ```text
//! X-containerd.mkfs.size=64MiB    needed
//! X-containerd.mkfs.fs=ext4       ext2, ext3, ext4 or xfs
//! X-containerd.mkfs.uuid=UUID
//! ```

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dhow_linux::file::PathError;
use dhow_linux::path::open_in;
use dhow_proto::containerd::types::Mount;
use rustix::fs::OFlags;

use super::error::StepError;
use super::mkdir::within;
use super::transform::take_options;

const PREFIX: &str = "X-containerd.mkfs.";

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    size: u64,
    program: String,
    arguments: Vec<String>,
}

/// Makes the source of `mount`, below `roots`.
pub(super) fn apply(mut mount: Mount, roots: &[PathBuf]) -> Result<Mount, StepError> {
    let wanted = Wanted::parse(&take_options(&mut mount, PREFIX))?;
    let path = PathBuf::from(&mount.source);
    let (root, rest) = within(&path, roots)?;
    match open_in(root.as_fd(), rest, OFlags::PATH) {
        Ok(_) => return Ok(mount),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(PathError::at("open", path)(error).into()),
    }
    let parent = open_in(
        root.as_fd(),
        rest.parent().unwrap_or_else(|| Path::new("")),
        OFlags::RDONLY | OFlags::DIRECTORY,
    )
    .map_err(PathError::at("open the parent of", &path))?;
    make(&wanted, &parent.into(), &path)?;
    Ok(mount)
}

impl Wanted {
    fn parse(options: &[String]) -> Result<Self, StepError> {
        let (mut size, mut kind, mut uuid) = (0, "ext4", None);
        for option in options {
            let invalid = || StepError::Option(format!("{PREFIX}{option}"));
            match option.split_once('=').ok_or_else(invalid)? {
                ("size", text) => size = bytes(text).ok_or_else(invalid)?,
                ("fs", text @ ("ext2" | "ext3" | "ext4" | "xfs")) => kind = text,
                ("uuid", text) => uuid = Some(text),
                _ => return Err(invalid()),
            }
        }
        if size == 0 {
            return Err(StepError::NoSize);
        }
        let mut arguments = vec!["-q".to_owned()];
        match uuid {
            Some(uuid) if kind == "xfs" => arguments.extend(["-m".to_owned(), format!("uuid={uuid}")]),
            Some(uuid) => arguments.extend(["-U".to_owned(), uuid.to_owned()]),
            None => {}
        }
        Ok(Self { size, program: format!("mkfs.{kind}"), arguments })
    }
}

/// `64MiB`, `64m`, `1.5GB`: in powers of 1024, as memory is counted.
fn bytes(text: &str) -> Option<u64> {
    let end =
        text.find(|character: char| character != '.' && !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 1024u64.checked_pow(power)?;
    let digits = u32::try_from(fraction.len()).ok()?;
    let part = fraction.parse::<u64>().ok()?.checked_mul(scale)? / 10u64.checked_pow(digits)?;
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(part)
}

/// Makes the file beside its place, and moves it there when it is whole: a crash leaves none that is half made.
fn make(wanted: &Wanted, parent: &File, path: &Path) -> Result<(), StepError> {
    let name = path.file_name().unwrap_or_default();
    let mut temporary = name.to_owned();
    temporary.push(".new");
    // For the program too: nobody can put another folder in this one's place.
    let folder = format!("/proc/{}/fd/{}", std::process::id(), parent.as_raw_fd());
    let place = Path::new(&folder).join(&temporary);
    let failed = |action| PathError::at(action, path);
    std::fs::remove_file(&place).or_else(absent).map_err(failed("remove"))?;
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o640).open(&place).map_err(failed("create"))?;
    file.set_len(wanted.size).map_err(failed("set the length of"))?;
    let output =
        Command::new(&wanted.program).args(&wanted.arguments).arg(&place).stdin(Stdio::null()).output();
    let result = match output {
        Ok(output) if output.status.success() => rustix::fs::renameat(parent, &temporary, parent, name)
            .map_err(|error| failed("rename")(error.into())),
        Ok(output) => {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            drop(std::fs::remove_file(&place));
            return Err(StepError::Mkfs { program: wanted.program.clone(), output });
        }
        Err(error) => Err(PathError::at("run", &wanted.program)(error)),
    };
    if result.is_err() {
        drop(std::fs::remove_file(&place));
    }
    Ok(result?)
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_memory() {
        let cases = [
            ("10", Some(10)),
            ("10b", Some(10)),
            ("64MiB", Some(64 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2 KB", Some(2048)),
            ("", None),
            ("-1", None),
            ("1x", None),
            ("99999999999t", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn options_become_arguments() {
        let parse = |options: &[&str]| {
            Wanted::parse(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
        };
        let wanted = parse(&["size=1m", "uuid=u"]).expect("options");
        assert_eq!((wanted.size, wanted.program.as_str()), (1 << 20, "mkfs.ext4"));
        assert_eq!(wanted.arguments, ["-q", "-U", "u"]);
        assert_eq!(
            parse(&["size=1m", "fs=xfs", "uuid=u"]).expect("options").arguments[1..],
            ["-m", "uuid=u"]
        );
        assert!(matches!(parse(&[]), Err(StepError::NoSize)));
        for wrong in ["fs=ntfs", "label=x", "size"] {
            assert!(matches!(parse(&["size=1m", wrong]), Err(StepError::Option(_))), "{wrong}");
        }
    }
}
