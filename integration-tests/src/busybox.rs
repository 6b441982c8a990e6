//! A root file system of busybox-static: one binary, a link for each applet, the files that user lookups read.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::process::{call, run};

const FOLDERS: &[&str] =
    &["bin", "dev", "etc", "home", "proc", "root", "run", "sbin", "sys", "tmp", "usr/bin", "usr/sbin", "var"];

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    daemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
    nobody:x:65534:65534:nobody:/home:/bin/false\n\
    test:x:1000:1000:test:/home:/bin/sh\n";

const GROUP: &str = "root:x:0:\ndaemon:x:1:\nadm:x:4:test\ntty:x:5:\ntest:x:1000:\nnobody:x:65534:\n";

/// Makes the tree at `rootfs`, which must not exist.
///
/// # Panics
/// When busybox-static is not installed.
pub fn tree(rootfs: &Path) {
    for folder in FOLDERS {
        fs::create_dir_all(rootfs.join(folder)).expect("make a folder");
    }
    fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("open /tmp");
    let busybox = rootfs.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).expect("busybox-static is installed");
    for applet in call("/bin/busybox", &["--list"]).ok().lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).expect("link an applet");
    }
    symlink("../../bin/env", rootfs.join("usr/bin/env")).expect("link env");
    fs::write(rootfs.join("etc/passwd"), PASSWD).expect("write passwd");
    fs::write(rootfs.join("etc/group"), GROUP).expect("write group");
}

/// Makes the tree and packs it into `folder/busybox.tar`.
///
/// # Panics
/// As [`tree`].
#[must_use]
pub fn tar(folder: &Path) -> PathBuf {
    let rootfs = folder.join("busybox");
    tree(&rootfs);
    let archive = folder.join("busybox.tar");
    let mut pack = Command::new("tar");
    pack.args(["--numeric-owner", "--owner=0", "--group=0", "-C"])
        .arg(&rootfs)
        .arg("-cf")
        .arg(&archive)
        .arg(".");
    run(&mut pack).ok();
    fs::remove_dir_all(&rootfs).expect("remove the tree");
    archive
}

/// Packs the tree as an image that `ctr images import` and `docker load` take under `name`, without other tools.
///
/// # Panics
/// As [`tree`].
#[must_use]
pub fn docker_archive(folder: &Path, name: &str) -> PathBuf {
    let layer = tar(folder);
    let digest = hex::encode(Sha256::digest(fs::read(&layer).expect("read the layer")));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["busybox.tar"]}]);
    for (file, document) in [("config.json", config), ("manifest.json", manifest)] {
        fs::write(folder.join(file), document.to_string()).expect("write a document");
    }
    let archive = folder.join("archive.tar");
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(folder).arg("-cf").arg(&archive);
    run(pack.args(["manifest.json", "config.json", "busybox.tar"])).ok();
    archive
}
