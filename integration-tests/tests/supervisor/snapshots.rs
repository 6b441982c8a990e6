//! Snapshots: layers seen through mounts, and what each verb refuses.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dhow_integration_tests::bundle::spec;
use dhow_integration_tests::busybox;
use dhow_integration_tests::client::{Client, Stdio, block_on};
use dhow_integration_tests::process::call;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::diff::v1::DiffRequest;
use dhow_proto::containerd::services::diff::v1::diff_client::DiffClient;
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::snapshots::v1::{
    CommitSnapshotRequest, PrepareSnapshotRequest, RemoveSnapshotRequest, StatSnapshotRequest,
    ViewSnapshotRequest,
};
use dhow_proto::containerd::types::Mount;
use serde_json::json;
use tonic::Code;
use tonic::transport::Channel;

const OVERLAY: &str = "overlayfs";

struct Snapshots(Client, SnapshotsClient<Channel>);

impl Snapshots {
    async fn connect(supervisor: &Supervisor) -> Self {
        let client = Client::connect(&supervisor.socket()).await;
        let snapshots = SnapshotsClient::new(client.channel());
        Self(client, snapshots)
    }

    async fn prepare(&mut self, key: &str, parent: &str) -> Result<Vec<Mount>, tonic::Status> {
        let request = PrepareSnapshotRequest {
            snapshotter: OVERLAY.to_owned(),
            key: key.to_owned(),
            parent: parent.to_owned(),
            ..PrepareSnapshotRequest::default()
        };
        Ok(self.1.prepare(self.0.request(request)).await?.into_inner().mounts)
    }

    async fn commit(&mut self, name: &str, key: &str) {
        let request = CommitSnapshotRequest {
            snapshotter: OVERLAY.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
            ..CommitSnapshotRequest::default()
        };
        self.1.commit(self.0.request(request)).await.expect("commit");
    }

    async fn remove(&mut self, key: &str) -> Result<(), tonic::Status> {
        let request = RemoveSnapshotRequest { snapshotter: OVERLAY.to_owned(), key: key.to_owned() };
        self.1.remove(self.0.request(request)).await.map(|_| ())
    }

    async fn exists(&mut self, key: &str) -> bool {
        let request = StatSnapshotRequest { snapshotter: OVERLAY.to_owned(), key: key.to_owned() };
        self.1.stat(self.0.request(request)).await.is_ok()
    }
}

/// The folder that a write through these mounts lands in.
fn upper(mounts: &[Mount]) -> &str {
    let mount = &mounts[0];
    if mount.r#type == "bind" {
        return &mount.source;
    }
    mount.options.iter().find_map(|option| option.strip_prefix("upperdir=")).expect("a writable overlay")
}

#[test]
fn layers_stack_and_are_removed_from_the_top() {
    let supervisor = Supervisor::start();
    block_on(async {
        let mut snapshots = Snapshots::connect(&supervisor).await;
        let base = snapshots.prepare("base", "").await.expect("prepare");
        std::fs::write(Path::new(upper(&base)).join("file"), "base").expect("write into the layer");
        snapshots.commit("layer-1", "base").await;
        let top = snapshots.prepare("top", "layer-1").await.expect("prepare");
        assert_eq!(top[0].r#type, "overlay");
        let lower =
            top[0].options.iter().find_map(|option| option.strip_prefix("lowerdir=")).expect("a lower layer");
        assert_eq!(std::fs::read_to_string(Path::new(lower).join("file")).expect("read"), "base");
        snapshots.commit("layer-2", "top").await;

        let refused = snapshots.remove("layer-1").await.expect_err("it has a child");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let twice = snapshots.prepare("layer-2", "layer-1").await.expect_err("the key is taken");
        assert_eq!(twice.code(), Code::AlreadyExists);
        let orphan = snapshots.prepare("orphan", "no-such-parent").await.expect_err("no parent");
        assert_eq!(orphan.code(), Code::NotFound);
        snapshots.remove("layer-2").await.expect("remove the top");
        snapshots.remove("layer-1").await.expect("then the base");
    });
}

#[test]
fn a_view_is_read_only() {
    let supervisor = Supervisor::start();
    block_on(async {
        let mut snapshots = Snapshots::connect(&supervisor).await;
        snapshots.prepare("base", "").await.expect("prepare");
        snapshots.commit("layer", "base").await;
        let request = ViewSnapshotRequest {
            snapshotter: OVERLAY.to_owned(),
            key: "view".to_owned(),
            parent: "layer".to_owned(),
            ..ViewSnapshotRequest::default()
        };
        let mounts = snapshots.1.view(snapshots.0.request(request)).await.expect("view").into_inner().mounts;
        assert!(mounts[0].options.iter().any(|option| option == "ro"), "{mounts:?}");
        snapshots.remove("view").await.expect("remove the view");
        snapshots.remove("layer").await.expect("remove the layer");
    });
}

#[test]
fn committed_layers_are_there_after_a_killed_supervisor() {
    let mut supervisor = Supervisor::start();
    block_on(async {
        let mut snapshots = Snapshots::connect(&supervisor).await;
        let base = snapshots.prepare("base", "").await.expect("prepare");
        std::fs::write(Path::new(upper(&base)).join("file"), "kept").expect("write into the layer");
        snapshots.commit("layer", "base").await;
        snapshots.prepare("open", "layer").await.expect("prepare");
    });
    supervisor.kill();
    supervisor.launch();
    block_on(async {
        let mut snapshots = Snapshots::connect(&supervisor).await;
        assert!(snapshots.exists("layer").await && snapshots.exists("open").await);
        let top = snapshots.prepare("top", "layer").await.expect("prepare");
        let lower =
            top[0].options.iter().find_map(|option| option.strip_prefix("lowerdir=")).expect("a lower layer");
        assert_eq!(std::fs::read_to_string(Path::new(lower).join("file")).expect("read"), "kept");
    });
}

#[test]
fn a_user_namespace_sees_its_own_owners() {
    let supervisor = Supervisor::start();
    let output = supervisor.host().path("output");
    block_on(async {
        let mut snapshots = Snapshots::connect(&supervisor).await;
        let base = snapshots.prepare("base", "").await.expect("prepare");
        busybox::tree(Path::new(upper(&base)));
        snapshots.commit("layer", "base").await;
        let map = "0:100000:65536".to_owned();
        let labels = ["uidmapping", "gidmapping"]
            .map(|name| (format!("containerd.io/snapshot/{name}"), map.clone()))
            .into();
        let request = PrepareSnapshotRequest {
            snapshotter: OVERLAY.to_owned(),
            key: "mapped".to_owned(),
            parent: "layer".to_owned(),
            labels,
        };
        let mounts = snapshots.1.prepare(snapshots.0.request(request)).await.expect("prepare");
        let mounts = mounts.into_inner().mounts;
        assert_eq!(mounts[0].options[..2], [format!("uidmap={map}"), format!("gidmap={map}")]);

        let script =
            "stat -c %u:%g / /bin /bin/busybox; touch /new; chown 7:8 /new; stat -c %u:%g /new; id -u";
        let mut spec = spec(&format!("{}/mapped", supervisor.host().cgroup()), script);
        let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        spec["linux"]["uidMappings"] = mapping.clone();
        spec["linux"]["gidMappings"] = mapping;
        spec["linux"]["namespaces"].as_array_mut().expect("a list").push(json!({"type": "user"}));
        let client = &snapshots.0;
        client.create_container("mapped", &spec).await;
        let stdout = format!("file://{}", output.display());
        let stdio = Stdio { stdout: stdout.clone(), stderr: stdout, ..Stdio::default() };
        client.create_task_on("mapped", mounts.clone(), &stdio).await.expect("create");
        client.start("mapped").await;
        let ended = client.wait("mapped").await;
        let told = std::fs::read_to_string(&output).expect("output");
        assert_eq!((ended.exit_status, told.as_str()), (0, "0:0\n0:0\n0:0\n7:8\n0\n"));
        client.delete("mapped").await;

        let owner = |path: &Path| {
            let status = std::fs::metadata(path).expect("stat");
            (status.uid(), status.gid())
        };
        let upper = Path::new(upper(&mounts));
        assert_eq!((owner(upper), owner(&upper.join("new"))), ((100_000, 100_000), (100_007, 100_008)));
        let lower = mounts[0].options.iter().find_map(|option| option.strip_prefix("lowerdir="));
        assert_eq!(owner(Path::new(lower.expect("a layer"))), (0, 0), "the layer itself stays as it is");

        let request = ViewSnapshotRequest {
            snapshotter: OVERLAY.to_owned(),
            key: "below".to_owned(),
            parent: "layer".to_owned(),
            ..ViewSnapshotRequest::default()
        };
        let left = snapshots.1.view(snapshots.0.request(request)).await.expect("view").into_inner().mounts;
        let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
        let request = DiffRequest { left, right: mounts, media_type, ..DiffRequest::default() };
        let mut differ = DiffClient::new(snapshots.0.channel());
        let diff = differ.diff(snapshots.0.request(request)).await.expect("diff").into_inner().diff;
        let digest = diff.expect("a descriptor").digest;
        let blobs = supervisor.host().path("root/io.containerd.content.v1.content/blobs/sha256");
        let layer = blobs.join(digest.trim_start_matches("sha256:"));
        let list = call("tar", &["--numeric-owner", "-tvf", layer.to_str().expect("UTF-8")]).ok();
        let new = list.lines().find(|line| line.ends_with(" new")).expect("the new file");
        assert!(new.contains(" 7/8 "), "a layer says who owns it inside: {new}");
    });
}
