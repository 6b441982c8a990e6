//! The program's environment: checked, without duplicates, with a HOME.

use std::collections::HashSet;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;

use rustix::fs::{FileType, Mode, OFlags};

use super::InitError;

/// The environment of a process.
#[derive(Debug)]
pub(super) struct Environment {
    /// `NAME=value` each.
    pub(super) pairs: Vec<CString>,
    /// Where to look for programs.
    pub(super) path: String,
}

impl Environment {
    /// From the spec's list: of several values of a name the last one counts.
    pub(super) fn build(list: &[String], uid: u32) -> Result<Self, InitError> {
        let mut seen = HashSet::new();
        let mut pairs = Vec::with_capacity(list.len() + 1);
        let mut path = String::new();
        let mut has_home = false;
        for pair in list.iter().rev() {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(InitError::Environment(": missing '='".to_owned()));
            };
            if name.is_empty() {
                return Err(InitError::Environment(": name cannot be empty".to_owned()));
            }
            if !seen.insert(name) {
                continue;
            }
            if name == "HOME" {
                // An empty one counts as a value, but not as a home.
                has_home = !value.is_empty();
                if !has_home {
                    continue;
                }
            }
            if name == "PATH" {
                value.clone_into(&mut path);
            }
            let text = CString::new(pair.as_str())
                .map_err(|_| InitError::Environment(format!(" {name:?}: contains nul byte (\\x00)")))?;
            pairs.push(text);
        }
        pairs.reverse();
        if !has_home {
            // Names in passwd cannot hold a NUL that a CString would refuse: such a line is no home.
            let home = home(uid).and_then(|home| CString::new(format!("HOME={home}")).ok());
            pairs.push(home.unwrap_or_else(|| c"HOME=/".to_owned()));
        }
        Ok(Self { pairs, path })
    }
}

/// The home of `uid` in the container's passwd, which may be anything, such as endless or a fifo.
fn home(uid: u32) -> Option<String> {
    const LIMIT: u64 = 4 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open("/etc/passwd", flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut text = Vec::new();
    File::from(file).take(LIMIT).read_to_end(&mut text).ok()?;
    home_in(&String::from_utf8_lossy(&text), uid)
}

/// The sixth field of the first line with that uid.
fn home_in(passwd: &str, uid: u32) -> Option<String> {
    let line = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6 && fields.get(2).and_then(|field| field.parse::<u32>().ok()) == Some(uid)
    })?;
    line.get(5).map(|home| (*home).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(list: &[&str]) -> Result<Vec<String>, InitError> {
        let list: Vec<String> = list.iter().map(|pair| (*pair).to_owned()).collect();
        let built = Environment::build(&list, u32::MAX)?;
        Ok(built.pairs.iter().map(|pair| pair.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn the_last_value_wins_and_keeps_its_place() {
        assert_eq!(build(&["A=1", "HOME=/h", "A=2"]).expect("valid"), ["HOME=/h", "A=2"]);
        assert_eq!(build(&["HOME=/h", "HOME="]).expect("valid"), ["HOME=/"]);
        build(&["NOTHING"]).expect_err("no value");
        build(&["=x"]).expect_err("no name");
    }

    #[test]
    fn passwd_lines_with_missing_fields_are_not_users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad:x:7\nseven:x:7:7::/seven:\n";
        assert_eq!(home_in(passwd, 7).as_deref(), Some("/seven"));
        assert_eq!(home_in(passwd, 8), None);
    }
}
