//! Differences: what `ctr` makes of two snapshots, and applied again.

use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::process::{call, run, run_with};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::diff::v1::diff_client::DiffClient;
use dhow_proto::containerd::services::diff::v1::{ApplyRequest, DiffRequest};
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::snapshots::v1::{
    CommitSnapshotRequest, PrepareSnapshotRequest, ViewSnapshotRequest,
};
use dhow_proto::containerd::types::Mount;
use tonic::transport::Channel;

/// Makes the lower tree.
const BASE: &str = "mkdir -p etc/deep/er opaque gone/dir && echo base > etc/file && echo x > opaque/old &&
    echo x > gone/dir/file && echo x > gone-file && ln -s etc/file link && echo two > twin && ln twin etc/twin &&
    echo meta > meta && mkdir swap && echo x > swap/in";
/// Changes it in every way that a layer can tell.
const CHANGE: &str =
    "echo new > etc/new && echo changed > etc/file && rm -r gone gone-file && rm -r opaque &&
    mkdir opaque && echo y > opaque/new && rm link && mkdir link && ln etc/new hard && mknod null c 1 3 &&
    mkfifo pipe && chmod 4751 meta && chown 123:456 meta &&
    touch -d '2001-02-03 04:05:06.123456789' etc/deep/er && rm -r swap && echo file > swap &&
    printf 'long\\n' > \"$(printf '%0200d' 1)\" && ln -s /nowhere dangling && truncate -s 3M sparse";

struct Snapshots<'a> {
    client: &'a Client,
    snapshots: SnapshotsClient<Channel>,
    snapshotter: &'static str,
}

impl Snapshots<'_> {
    async fn prepare(&mut self, key: &str, parent: &str) -> Vec<Mount> {
        let request = PrepareSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            ..PrepareSnapshotRequest::default()
        };
        let reply = self.snapshots.prepare(self.client.request(request)).await;
        reply.expect("prepare").into_inner().mounts
    }

    async fn view(&mut self, key: &str, parent: &str) -> Vec<Mount> {
        let request = ViewSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            ..ViewSnapshotRequest::default()
        };
        let reply = self.snapshots.view(self.client.request(request)).await;
        reply.expect("view").into_inner().mounts
    }

    async fn commit(&mut self, name: &str, key: &str) {
        let request = CommitSnapshotRequest {
            snapshotter: self.snapshotter.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            ..CommitSnapshotRequest::default()
        };
        self.snapshots.commit(self.client.request(request)).await.expect("commit");
    }
}

/// Runs a shell in the mounted tree, in a mount namespace that ends with it.
#[track_caller]
pub(crate) fn inside(mounts: &[Mount], folder: &Path, script: &str) -> String {
    let Mount { r#type, source, options, .. } = &mounts[0];
    let bind = if r#type == "bind" { "--bind" } else { "-toverlay" };
    let options = options.iter().filter(|option| *option != "rbind").cloned().collect::<Vec<_>>().join(",");
    let script = format!("set -e; mount {bind} -o \"$1\" \"$2\" \"$3\"; cd \"$3\"; {script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", &options, source]).arg(folder);
    run(&mut command).ok()
}

/// The folder that what is on top of these mounts lies in.
fn top(mounts: &[Mount]) -> PathBuf {
    let Mount { source, options, .. } = &mounts[0];
    let option = |name: &str| options.iter().find_map(|option| option.strip_prefix(name));
    let lower = option("lowerdir=").and_then(|lower| lower.split(':').next());
    PathBuf::from(option("upperdir=").or(lower).unwrap_or(source))
}

/// Everything there is to know of a tree, but for what the file system decides; archives do not hold its root.
pub(crate) const LIST: &str =
    "find . -mindepth 1 ! -type d -printf '%p %y %m %U:%G %T@ %s %l %n\\n' -o -printf '%p %y %m %U:%G %T@\\n' | sort;
    find . -type f -exec sha256sum {} + | sort -k2";

fn round_trip(snapshotter: &'static str, media_type: &str) {
    let supervisor = Supervisor::start();
    let folder = supervisor.host().folder("mounted");
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let snapshots = SnapshotsClient::new(client.channel());
        let mut snapshots = Snapshots { client: &client, snapshots, snapshotter };
        let base = snapshots.prepare("base-active", "").await;
        inside(&base, &folder, BASE);
        snapshots.commit("base", "base-active").await;
        let upper = snapshots.prepare("changed-active", "base").await;
        inside(&upper, &folder, CHANGE);
        let deep = top(&upper).join("etc/deep");
        rustix::fs::setxattr(&deep, "user.k", b"v", rustix::fs::XattrFlags::empty()).expect("set");
        let lower = snapshots.view("lower", "base").await;
        let request = DiffRequest {
            left: lower,
            right: upper,
            media_type: media_type.to_owned(),
            ..DiffRequest::default()
        };
        let mut differ = DiffClient::new(client.channel());
        let diff = differ.diff(client.request(request)).await.expect("diff").into_inner().diff;
        assert_eq!(diff.as_ref().expect("a descriptor").media_type, media_type);
        snapshots.commit("changed", "changed-active").await;

        let target = snapshots.prepare("again-active", "base").await;
        let request = ApplyRequest { diff, mounts: target, ..ApplyRequest::default() };
        differ.apply(client.request(request)).await.expect("apply");
        snapshots.commit("again", "again-active").await;
        let wanted = inside(&snapshots.view("wanted", "changed").await, &folder, LIST);
        let again = snapshots.view("found", "again").await;
        let found = inside(&again, &folder, LIST);
        assert!(wanted.contains("./hard f"), "{wanted}");
        assert_eq!(found, wanted);
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(top(&again).join("etc/deep"), "user.k", &mut value).expect("get");
        assert_eq!(&value[..length], b"v");
    });
}

#[test]
fn an_applied_difference_of_overlays_is_the_tree_again() {
    round_trip("overlayfs", "application/vnd.oci.image.layer.v1.tar");
}

#[test]
fn an_applied_difference_of_copies_is_the_tree_again() {
    round_trip("native", "application/vnd.oci.image.layer.v1.tar+zstd");
}

#[test]
fn ctr_gets_the_difference_in_every_form() {
    let supervisor = Supervisor::start();
    let folder = supervisor.host().folder("mounted");
    let ctr = |arguments: &[&str]| supervisor.ctr(&[&["snapshots"], arguments].concat());
    let script = |mounts: &str, then: &str| {
        run(Command::new("unshare").args(["--mount", "sh", "-ec", &format!("{mounts}\n{then}")])).ok();
    };
    let target = folder.to_str().expect("UTF-8");
    let mounts = ctr(&["prepare", "--target", target, "one", ""]).ok();
    script(&mounts, &format!("cd {target}; echo a > kept; echo b > gone"));
    ctr(&["commit", "base", "one"]).ok();
    let mounts = ctr(&["prepare", "--target", target, "two", "base"]).ok();
    script(&mounts, &format!("cd {target}; rm gone; echo c > new"));
    let forms = [
        ("application/vnd.oci.image.layer.v1.tar", "cat"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip -dc"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip -dc"),
    ];
    for (media_type, decode) in forms {
        let layer = supervisor.host().path("layer");
        let socket = supervisor.socket();
        let command = format!(
            "CONTAINERD_NAMESPACE={} ctr -a {} snapshots diff --media-type {media_type} two > {}",
            supervisor.host().name(),
            socket.display(),
            layer.display()
        );
        call("sh", &["-ec", &command]).ok();
        let bytes = std::fs::read(&layer).expect("the layer");
        let list = run_with(Command::new("sh").args(["-ec", &format!("{decode} | tar -t")]), &bytes).ok();
        let mut names: Vec<&str> = list.lines().filter(|name| !name.ends_with('/')).collect();
        names.sort_unstable();
        assert_eq!(names, [".wh.gone", "new"], "{media_type}");
    }
    let refused = ctr(&["diff", "--media-type", "text/plain", "two"]);
    assert!(refused.code != 0 && refused.stderr.contains("text/plain"), "{}", refused.stderr);
}
