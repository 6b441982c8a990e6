//! Looking into a root file system that is not mounted: layer by layer, topmost first.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use dhow_proto::containerd::types::Mount;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use super::spec::user::Database;

/// The most that is read of a file of accounts.
const LIMIT: u64 = 4 << 20;

/// The accounts of a root file system; empty where it has none.
pub(crate) fn users(mounts: &[Mount]) -> Database {
    let layers = layers(mounts);
    Database { passwd: text(&layers, "etc/passwd"), group: text(&layers, "etc/group") }
}

/// The folders that a root file system is made of, topmost first.
pub(crate) fn folders(mounts: &[Mount]) -> Vec<PathBuf> {
    let Some(mount) = mounts.last() else { return Vec::new() };
    let option =
        |name: &str| mount.options.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix('='));
    match mount.r#type.as_str() {
        "overlay" => {
            let lower = option("lowerdir").into_iter().flat_map(|folders| folders.split(':'));
            option("upperdir").into_iter().chain(lower).map(PathBuf::from).collect()
        }
        _ => vec![PathBuf::from(&mount.source)],
    }
}

fn layers(mounts: &[Mount]) -> Vec<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    folders(mounts).into_iter().filter_map(|folder| open(&folder, flags, Mode::empty()).ok()).collect()
}

/// A regular file of the topmost layer that knows the path. Whatever the image did to the path, it leads nowhere else.
fn text(layers: &[OwnedFd], path: &str) -> String {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for layer in layers {
        let found = openat2(layer, path, flags, Mode::empty(), resolve);
        let Ok(file) = found else {
            // A whiteout is a device that cannot be opened: the path is gone from here on down.
            let whiteout = openat2(layer, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
            match whiteout {
                Ok(_) => return String::new(),
                Err(_) => continue,
            }
        };
        let regular =
            fstat(&file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        let mut bytes = Vec::new();
        if regular && std::fs::File::from(file).take(LIMIT).read_to_end(&mut bytes).is_ok() {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
        return String::new();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn overlay(folders: &[&Path]) -> Vec<Mount> {
        let [upper, lower @ ..] = folders else { return Vec::new() };
        let lower: Vec<String> = lower.iter().map(|folder| folder.display().to_string()).collect();
        vec![Mount {
            r#type: "overlay".to_owned(),
            options: vec![
                "index=off".to_owned(),
                format!("upperdir={}", upper.display()),
                format!("lowerdir={}", lower.join(":")),
            ],
            ..Mount::default()
        }]
    }

    #[test]
    fn the_topmost_layer_that_knows_a_file_decides() {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("temporary folder")).collect();
        let paths: Vec<&Path> = folders.iter().map(tempfile::TempDir::path).collect();
        for (folder, text) in paths[1..].iter().zip(["upper", "lower"]) {
            std::fs::create_dir(folder.join("etc")).expect("etc");
            std::fs::write(folder.join("etc/passwd"), text).expect("passwd");
        }
        std::fs::write(paths[2].join("etc/group"), "group").expect("group");
        let users = users(&overlay(&paths));
        assert_eq!((users.passwd.as_str(), users.group.as_str()), ("upper", "group"));
    }

    #[test]
    fn a_link_leads_nowhere_outside() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let other = tempfile::tempdir().expect("temporary folder");
        std::fs::write(other.path().join("passwd"), "secret").expect("passwd");
        std::os::unix::fs::symlink(other.path(), folder.path().join("etc")).expect("link");
        assert_eq!(users(&overlay(&[folder.path()])).passwd, "");
    }
}
