//! Layers on a real file system: attacks stay inside, whiteouts do what overlayfs expects, and
//! `apply(compare(a, b))` turns a into b. Owners, devices and trusted attributes need root; without it these tests
//! say so and pass.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::apply::apply;
use super::archive::{Device, Entry, Kind, Timestamp, Writer};
use super::compare::{Right, compare};
use super::owner::Owners;
use super::*;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("temporary folder")
}

fn entry(path: &str, kind: Kind) -> Entry {
    let modified = Timestamp { seconds: 1_000_000_000, nanoseconds: 5 };
    Entry { path: path.into(), kind, mode: 0o755, uid: 0, gid: 0, modified, attributes: Vec::new() }
}

fn file(path: &str, text: &str) -> (Entry, Vec<u8>) {
    (entry(path, Kind::File { size: text.len() as u64, segments: None }), text.into())
}

fn directory(path: &str) -> (Entry, Vec<u8>) {
    (entry(path, Kind::Directory), Vec::new())
}

fn link(path: &str, target: &str) -> (Entry, Vec<u8>) {
    (entry(path, Kind::Symlink(target.into())), Vec::new())
}

fn hardlink(path: &str, target: &str) -> (Entry, Vec<u8>) {
    (entry(path, Kind::Hardlink(target.into())), Vec::new())
}

fn archive(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.append(entry, data.as_slice()).expect("append");
    }
    writer.finish().expect("finish")
}

fn applied(root: &Path, target: Target, entries: &[(Entry, Vec<u8>)]) -> Result<Applied, ApplyError> {
    apply(archive(entries).as_slice(), root, target)
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("read")
}

#[test]
fn links_of_the_layer_never_lead_out_of_it() {
    let outside = folder();
    fs::write(outside.path().join("victim"), "safe").expect("write");
    let outer = outside.path().to_str().expect("text");
    let root = folder();
    applied(
        root.path(),
        Target::Merged,
        &[
            link("absolute", outer),
            link("relative", "../../../../../../../.."),
            link("magic", "/proc/self/root"),
            link("victim", &format!("{outer}/victim")),
            file("absolute/victim", "inside"),
            file("relative/up", "inside"),
            file("magic/down", "inside"),
            file("victim", "inside"),
        ],
    )
    .expect_err("a directory behind a dangling link cannot be made");
    let root = folder();
    let tmp = outer.trim_start_matches('/');
    applied(
        root.path(),
        Target::Merged,
        &[
            directory(tmp),
            link("absolute", outer),
            link("relative", "../../../../../../../.."),
            link("victim", &format!("{outer}/victim")),
            file("absolute/victim", "inside"),
            file("relative/up", "inside"),
            file("victim", "inside"),
        ],
    )
    .expect("apply");
    assert_eq!(text(outside.path().join("victim")), "safe");
    assert_eq!(text(root.path().join(tmp).join("victim")), "inside", "resolved within the layer");
    assert_eq!(text(root.path().join("up")), "inside");
    assert!(root.path().join("victim").symlink_metadata().expect("stat").is_file(), "the link was replaced");
}

#[test]
fn names_that_climb_are_refused_and_absolute_ones_stay_inside() {
    let root = folder();
    for name in ["../evil", "a/../../evil", ".."] {
        let error = applied(root.path(), Target::Merged, &[file(name, "x")]).expect_err("climbs");
        assert!(matches!(error, ApplyError::Name { .. }), "{name}: {error}");
    }
    applied(root.path(), Target::Merged, &[file("/etc/absolute", "x")]).expect("apply");
    assert_eq!(text(root.path().join("etc/absolute")), "x");
}

#[test]
fn hard_links_do_not_reach_outside() {
    let outside = folder();
    fs::write(outside.path().join("secret"), "secret").expect("write");
    let secret = outside.path().join("secret");
    let root = folder();
    for target in [secret.to_str().expect("text"), "../../../../etc/passwd", "escape/secret"] {
        let entries = [link("escape", outside.path().to_str().expect("text")), hardlink("stolen", target)];
        assert!(applied(root.path(), Target::Merged, &entries).is_err(), "{target}");
        assert!(!root.path().join("stolen").exists());
    }
    assert_eq!(fs::metadata(secret).expect("stat").nlink(), 1);
}

#[test]
fn later_entries_replace_earlier_ones() {
    let root = folder();
    applied(
        root.path(),
        Target::Merged,
        &[
            file("a", "one"),
            file("a", "two"),
            directory("d"),
            file("d/inner", "x"),
            link("d", "elsewhere"),
            hardlink("a", "a"),
            file("f", "file"),
            directory("f"),
            file("f/inner", "y"),
        ],
    )
    .expect("apply");
    assert_eq!(text(root.path().join("a")), "two");
    assert_eq!(fs::read_link(root.path().join("d")).expect("link").to_str(), Some("elsewhere"));
    assert_eq!(text(root.path().join("f/inner")), "y");
}

#[test]
fn merged_whiteouts_delete_what_is_below_and_keep_what_the_layer_holds() {
    let root = folder();
    fs::create_dir_all(root.path().join("gone/deep")).expect("make");
    fs::create_dir_all(root.path().join("opaque")).expect("make");
    for old in ["gone/deep/old", "opaque/old", "old", "kept"] {
        fs::write(root.path().join(old), "old").expect("write");
    }
    applied(
        root.path(),
        Target::Merged,
        &[
            file("opaque/new", "new"),
            file("opaque/.wh..wh..opq", ""),
            file(".wh.gone", ""),
            file(".wh.old", ""),
            file("both", "new"),
            file(".wh.both", ""),
            file(".wh..wh.plnk", ""),
        ],
    )
    .expect("apply");
    let mut names: Vec<_> = fs::read_dir(root.path())
        .expect("list")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    assert_eq!(names, ["both", "kept", "opaque"]);
    assert_eq!(fs::read_dir(root.path().join("opaque")).expect("list").count(), 1);
}

#[test]
fn whiteouts_that_name_no_file_are_refused() {
    let root = folder();
    fs::create_dir(root.path().join("sub")).expect("make");
    fs::write(root.path().join("precious"), "x").expect("write");
    for name in ["sub/.wh...", "sub/.wh..", "sub/.wh.", ".wh..."] {
        for target in [Target::Merged, Target::Overlay] {
            let error = applied(root.path(), target, &[file(name, "")]).expect_err("names no file");
            assert!(matches!(error, ApplyError::Whiteout { .. }), "{name}: {error}");
        }
    }
    assert!(root.path().join("precious").exists());
}

fn opaque(path: impl AsRef<Path>) -> bool {
    let mut value = [0; 4];
    rustix::fs::getxattr(path.as_ref(), whiteout::OPAQUE, value.as_mut_slice()) == Ok(1) && value[0] == b'y'
}

fn whiteout(path: impl AsRef<Path>) -> bool {
    path.as_ref().symlink_metadata().is_ok_and(|stat| stat.file_type().is_char_device() && stat.rdev() == 0)
}

#[test]
fn overlay_whiteouts_take_the_form_of_the_kernel() {
    if !is_root() {
        return eprintln!("needs root");
    }
    let root = folder();
    applied(
        root.path(),
        Target::Overlay,
        &[
            file(".wh.gone", ""),
            directory("opaque"),
            file("opaque/.wh..wh..opq", ""),
            file(".wh.renewed", ""),
            directory("renewed"),
            directory("early"),
            file(".wh.early", ""),
            file(".wh.refilled", ""),
            file("refilled/file", "x"),
            file("both", "kept"),
            file(".wh.both", ""),
        ],
    )
    .expect("apply");
    assert!(whiteout(root.path().join("gone")));
    for name in ["opaque", "renewed", "early", "refilled"] {
        assert!(opaque(root.path().join(name)), "{name}");
    }
    assert_eq!(text(root.path().join("both")), "kept");
}

#[test]
fn attributes_of_overlayfs_do_not_come_out_of_an_archive() {
    if !is_root() {
        return eprintln!("needs root");
    }
    let root = folder();
    let mut hostile = directory("dir");
    hostile.0.attributes.push(("trusted.overlay.redirect".into(), b"/../other".to_vec()));
    hostile.0.attributes.push(("trusted.kept".into(), b"a\nb\0c".to_vec()));
    applied(root.path(), Target::Overlay, &[hostile]).expect("apply");
    let mut value = [0; 16];
    let path = root.path().join("dir");
    assert!(rustix::fs::getxattr(&path, "trusted.overlay.redirect", value.as_mut_slice()).is_err());
    assert_eq!(rustix::fs::getxattr(&path, "trusted.kept", value.as_mut_slice()), Ok(5));
}

#[test]
fn metadata_is_that_of_the_archive() {
    if !is_root() {
        return eprintln!("needs root");
    }
    let root = folder();
    let mut set_id = file("su", "x");
    (set_id.0.mode, set_id.0.uid, set_id.0.gid) = (0o4755, 12, 34);
    let capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    set_id.0.attributes.push(("security.capability".into(), capability));
    let mut sticky = directory("tmp");
    sticky.0.mode = 0o1777;
    let null = entry("null", Kind::Character(Device { major: 1, minor: 3 }));
    let entries = [
        sticky,
        set_id,
        file("tmp/x", "x"),
        link("ln", "su"),
        (null, Vec::new()),
        (entry("p", Kind::Fifo), Vec::new()),
    ];
    applied(root.path(), Target::Merged, &entries).expect("apply");
    let stat = |name: &str| root.path().join(name).symlink_metadata().expect("stat");
    assert_eq!((stat("su").mode() & 0o7777, stat("su").uid(), stat("su").gid()), (0o4755, 12, 34));
    assert_eq!(stat("tmp").mode() & 0o7777, 0o1777);
    for name in ["tmp", "su", "ln", "null", "p"] {
        assert_eq!((stat(name).mtime(), stat(name).mtime_nsec()), (1_000_000_000, 5), "{name}");
    }
    assert_eq!(stat("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(stat("p").file_type().is_fifo());
    let mut value = [0; 32];
    assert_eq!(
        rustix::fs::getxattr(root.path().join("su"), "security.capability", value.as_mut_slice()),
        Ok(20)
    );
}

#[test]
fn implied_directories_take_their_metadata_from_the_layers_below() {
    if !is_root() {
        return eprintln!("needs root");
    }
    let (below, layer) = (folder(), folder());
    let mut private = directory("root");
    private.0.mode = 0o700;
    private.0.uid = 7;
    applied(below.path(), Target::Overlay, &[private]).expect("apply");
    let made = applied(layer.path(), Target::Overlay, &[file("root/new/file", "x")]).expect("apply");
    assert_eq!(made.implied.len(), 2);
    inherit(layer.path(), &made.implied, &[below.path()]).expect("inherit");
    let stat = fs::metadata(layer.path().join("root")).expect("stat");
    assert_eq!((stat.mode() & 0o7777, stat.uid(), stat.mtime()), (0o700, 7, 1_000_000_000));
}

#[test]
fn sparse_files_have_their_length_and_holes() {
    let root = folder();
    let mut records = Vec::new();
    for (key, value) in [("GNU.sparse.size", "1000000"), ("GNU.sparse.map", "500000,3")] {
        let body = format!(" {key}={value}\n");
        let length = body.len() + 2;
        records.extend(format!("{length}{body}").into_bytes());
    }
    let mut stream = Vec::new();
    for (kind, name, data) in [(b'x', "pax", records.as_slice()), (b'0', "sparse", b"abc")] {
        let mut header = tar::Header::new_ustar();
        header.set_path(name).expect("path");
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        stream.extend_from_slice(header.as_bytes());
        stream.extend_from_slice(data);
        stream.resize(stream.len().next_multiple_of(512), 0);
    }
    apply(stream.as_slice(), root.path(), Target::Merged).expect("apply");
    let content = fs::read(root.path().join("sparse")).expect("read");
    assert_eq!(content.len(), 1_000_000);
    assert_eq!(&content[499_999..500_004], b"\0abc\0");
}

#[test]
fn unpacking_gives_the_diff_id_whatever_the_compression() {
    let plain = archive(&[file("a", &"text ".repeat(200_000)), directory("d")]);
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let root = folder();
        let mut encoder = Encoder::new(compression, Vec::new()).expect("encoder");
        encoder.write_all(&plain).expect("compress");
        let layer = encoder.finish().expect("finish");
        let unpacked = unpack(layer.as_slice(), root.path(), Target::Overlay).expect("unpack");
        assert_eq!(unpacked.diff_id, crate::content::Digest::of(&plain));
        assert_eq!(unpacked.size, plain.len() as u64);
        assert_eq!(text(root.path().join("a")).len(), 1_000_000);
        let cut = &layer[..layer.len() / 2];
        assert!(unpack(cut, folder().path(), Target::Overlay).is_err(), "half of {compression:?}");
    }
}

/// A tree to compare: paths from a small alphabet, so that two of them overlap.
type Plan = Vec<(Vec<u8>, u8, u8)>;

fn plan() -> impl Strategy<Value = Plan> {
    proptest::collection::vec((proptest::collection::vec(b'a'..=b'd', 1..4), 0..6u8, any::<u8>()), 0..14)
}

fn build(root: &Path, plan: &Plan) {
    for (at, (names, kind, content)) in plan.iter().enumerate() {
        let path: Vec<_> = names.iter().map(|name| char::from(*name).to_string()).collect();
        let path = root.join(path.join("/"));
        if fs::create_dir_all(path.parent().expect("below the root")).is_err() {
            continue;
        }
        match kind {
            0 => drop(fs::create_dir(&path)),
            1 => drop(symlink(format!("target{content}"), &path)),
            2 => drop(fs::hard_link(root.join("a"), &path)),
            _ if path.is_dir() || path.is_symlink() => {}
            _ => {
                fs::write(&path, [*content; 3]).expect("write");
                let mode = if content % 2 == 0 { 0o644 } else { 0o4750 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("mode");
                let time = std::time::UNIX_EPOCH + std::time::Duration::new(at as u64, u32::from(*content));
                fs::File::open(&path).expect("open").set_modified(time).expect("time");
            }
        }
    }
}

/// What a tree holds, apart from times of directories and links that a later step changed.
fn listing(root: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("list") {
            let path = entry.expect("entry").path();
            let stat = path.symlink_metadata().expect("stat");
            let name = path.strip_prefix(root).expect("inside").display().to_string();
            let content = match () {
                () if stat.is_file() => {
                    format!("{:?} {}.{}", fs::read(&path).expect("read"), stat.mtime(), stat.mtime_nsec())
                }
                () if stat.is_symlink() => fs::read_link(&path).expect("link").display().to_string(),
                () => String::new(),
            };
            into.push(format!("{name} {:o} {content}", stat.mode()));
            if stat.is_dir() {
                walk(root, &path, into);
            }
        }
    }
    let mut lines = Vec::new();
    walk(root, root, &mut lines);
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn applying_the_difference_turns_the_old_tree_into_the_new(old in plan(), new in plan()) {
        let (left, right) = (folder(), folder());
        build(left.path(), &old);
        build(right.path(), &new);
        let sides = Right::Whole { right: right.path(), left: Some(left.path()) };
        let layer = compare(sides, Owners::default(), None, Vec::new()).expect("compare");
        apply(layer.as_slice(), left.path(), Target::Merged).expect("apply");
        prop_assert_eq!(listing(left.path()), listing(right.path()));
        let again = compare(sides, Owners::default(), None, Vec::new()).expect("compare");
        prop_assert_eq!(again.len(), 1024, "no difference is left");
    }

    #[test]
    fn an_upper_directory_survives_the_way_through_an_archive(tree in plan(), gone in plan()) {
        if !is_root() {
            return Ok(());
        }
        let (upper, copy) = (folder(), folder());
        build(upper.path(), &tree);
        for (names, _, _) in gone {
            let name = format!("gone-{}", String::from_utf8(names).expect("letters"));
            let _ = rustix::fs::mknodat(rustix::fs::CWD, upper.path().join(name), rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::empty(), 0);
        }
        let layer = compare(Right::Upper(upper.path()), Owners::default(), None, Vec::new()).expect("compare");
        apply(layer.as_slice(), copy.path(), Target::Overlay).expect("apply");
        prop_assert_eq!(listing(copy.path()), listing(upper.path()));
    }
}
