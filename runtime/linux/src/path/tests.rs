//! Paths in a hostile tree.

use super::*;

fn root() -> (tempfile::TempDir, OwnedFd) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let root =
        rustix::fs::open(folder.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("open");
    (folder, root)
}

#[test]
fn links_and_dots_stay_inside() {
    let (folder, root) = root();
    std::fs::create_dir(folder.path().join("etc")).expect("mkdir");
    std::os::unix::fs::symlink("/../../etc", folder.path().join("link")).expect("symlink");
    let made = make_folders_in(root.as_fd(), Path::new("/link/../link/new/deep"), 0o755).expect("made");
    drop(made);
    assert!(folder.path().join("etc/new/deep").is_dir());
}

#[test]
fn what_a_dangling_link_points_to_is_made_inside() {
    let (folder, root) = root();
    std::os::unix::fs::symlink("/new/../other/deep", folder.path().join("link")).expect("symlink");
    make_folders_in(root.as_fd(), Path::new("link/x"), 0o755).expect("made");
    assert!(folder.path().join("other/deep/x").is_dir());
    std::os::unix::fs::symlink("../../../etc/hosts", folder.path().join("file")).expect("symlink");
    make_file_in(root.as_fd(), Path::new("file"), 0o644).expect("made");
    assert!(folder.path().join("etc/hosts").is_file());
}

#[test]
fn links_in_a_circle_end() {
    let (folder, root) = root();
    std::os::unix::fs::symlink("b", folder.path().join("a")).expect("symlink");
    std::os::unix::fs::symlink("a", folder.path().join("b")).expect("symlink");
    make_file_in(root.as_fd(), Path::new("a/x"), 0o644).expect_err("a circle");
}

#[test]
fn a_new_file_never_replaces_one() {
    let (folder, root) = root();
    make_file_in(root.as_fd(), Path::new("a/b"), 0o644).expect("made");
    assert!(folder.path().join("a/b").is_file());
    make_file_in(root.as_fd(), Path::new("a/b"), 0o644).expect_err("exists");
}
