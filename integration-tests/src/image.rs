//! Images made from Debian packages: an OCI layout that is built once a checkout and pushed where a test wants it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::host::Host;
use crate::process::{Done, run, run_within};
use crate::{binaries, busybox};

/// The search path that both images set.
const CONFIG: &[&str] =
    &["--config.env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];

/// The layout with `busybox` (one layer) and `debian` (a Debian 12 root, a file added, a folder removed).
///
/// The Debian root is fetched by mmdebstrap from the mirror that this machine's apt uses; it takes about 20 s once.
///
/// # Panics
/// When a tool is missing or the mirror does not answer.
#[must_use]
pub fn layout() -> PathBuf {
    let fixtures = binaries::folder().with_file_name("target").join("fixtures");
    fs::create_dir_all(&fixtures).expect("make the folder of fixtures");
    let lock = fs::File::create(fixtures.join("lock")).expect("make the lock");
    flock(&lock, FlockOperation::LockExclusive).expect("wait for whoever builds the images");
    let layout = fixtures.join("images");
    if !layout.exists() {
        let building = fixtures.join("images.new");
        drop(fs::remove_dir_all(&building));
        let work = tempfile::tempdir().expect("temporary folder");
        umoci(&["init", "--layout", text(&building)]);
        add_busybox(&building, work.path());
        add_debian(&building, work.path());
        fs::rename(&building, &layout).expect("publish the layout");
    }
    layout
}

/// What [`archive`] holds.
pub const BUSYBOX: &str = "docker.io/library/busybox:1";

/// A busybox image as an archive of `docker save`, made in `host` without other tools, for `ctr images import`; there it is [`BUSYBOX`].
///
/// # Panics
/// When it cannot be made.
#[must_use]
#[track_caller]
pub fn archive(host: &Host) -> String {
    let archive = busybox::docker_archive(&host.folder("image"), "busybox:1");
    text(&archive).to_owned()
}

/// Pushes image `name` of the layout to the registry at `registry` (`host:port`), and gives its reference there.
///
/// # Panics
/// When the registry refuses.
#[must_use]
#[track_caller]
pub fn push(name: &str, registry: &str) -> String {
    let reference = format!("{registry}/{name}:latest");
    let source = format!("oci:{}:{name}", layout().display());
    skopeo(&["copy", "--dest-tls-verify=false", &source, &format!("docker://{reference}")]).ok();
    reference
}

/// Runs skopeo without a signature policy.
#[track_caller]
pub fn skopeo(arguments: &[&str]) -> Done {
    run(Command::new("skopeo").arg("--insecure-policy").args(arguments))
}

fn umoci(arguments: &[&str]) {
    run(Command::new("umoci").args(arguments)).ok();
}

fn add_busybox(layout: &Path, work: &Path) {
    let image = format!("{}:busybox", layout.display());
    umoci(&["new", "--image", &image]);
    umoci(&["raw", "add-layer", "--image", &image, text(&busybox::tar(work))]);
    umoci(&["config", "--image", &image, "--config.cmd", "sh", CONFIG[0], CONFIG[1]]);
}

fn add_debian(layout: &Path, work: &Path) {
    let image = format!("{}:debian", layout.display());
    let root = work.join("debian.tar");
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase", "--mode=root", "--dpkgopt=force-unsafe-io", "bookworm"]);
    // A mirror far away and a machine that compiles beside it take their time.
    run_within(Duration::from_secs(600), make.arg(&root), b"").ok();
    umoci(&["new", "--image", &image]);
    umoci(&["raw", "add-layer", "--image", &image, text(&root)]);
    let added = work.join("added");
    fs::create_dir_all(added.join("etc")).expect("make a folder");
    fs::write(added.join("etc/motd"), "made in layers\n").expect("write motd");
    umoci(&["raw", "add-layer", "--image", &image, text(&layer(work, &added, "etc/motd"))]);
    let removed = work.join("removed");
    fs::create_dir_all(removed.join("usr/share")).expect("make a folder");
    fs::write(removed.join("usr/share/.wh.doc"), "").expect("write a whiteout");
    umoci(&["raw", "add-layer", "--image", &image, text(&layer(work, &removed, "usr/share/.wh.doc"))]);
    umoci(&["config", "--image", &image, "--config.cmd", "bash", CONFIG[0], CONFIG[1]]);
}

fn layer(work: &Path, tree: &Path, entry: &str) -> PathBuf {
    let archive = work.join("layer.tar");
    run(Command::new("tar").args(["--numeric-owner", "-C", text(tree), "-cf", text(&archive), entry])).ok();
    archive
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8 path")
}
