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
fn a_dangling_link_is_not_made_into_a_folder() {
    let (folder, root) = root();
    std::os::unix::fs::symlink("/nowhere", folder.path().join("link")).expect("symlink");
    make_folders_in(root.as_fd(), Path::new("link/x"), 0o755).expect_err("refused");
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn a_new_file_never_replaces_one() {
    let (folder, root) = root();
    make_file_in(root.as_fd(), Path::new("a/b"), 0o644).expect("made");
    assert!(folder.path().join("a/b").is_file());
    make_file_in(root.as_fd(), Path::new("a/b"), 0o644).expect_err("exists");
}
