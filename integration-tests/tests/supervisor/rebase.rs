//! Layers unpacked side by side and put on each other afterwards, call by call as containerd 2.2's client does it, give
//! what layers give that are unpacked one on the other.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::process::{call, run};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::content::v1::content_client::ContentClient;
use dhow_proto::containerd::services::content::v1::{Info, UpdateRequest, WriteAction};
use dhow_proto::containerd::services::diff::v1::ApplyRequest;
use dhow_proto::containerd::services::diff::v1::diff_client::DiffClient;
use dhow_proto::containerd::services::introspection::v1::PluginsRequest;
use dhow_proto::containerd::services::introspection::v1::introspection_client::IntrospectionClient;
use dhow_proto::containerd::services::leases::v1::CreateRequest;
use dhow_proto::containerd::services::leases::v1::leases_client::LeasesClient;
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::snapshots::v1::{
    CommitSnapshotRequest, PrepareSnapshotRequest, StatSnapshotRequest, UsageRequest, UsageResponse,
    ViewSnapshotRequest,
};
use dhow_proto::containerd::types::{Descriptor, Mount};

use crate::content::{commit, digest, send, write};
use crate::diff::{LIST, inside};

const SNAPSHOTTER: &str = "overlayfs";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// The trees of the layers, the lowest first, and what of each goes into its archive. The second holds files without
/// the folders that they are in.
const LAYERS: [(&str, &str); 4] = [
    (
        "mkdir -p etc/deep/er opaque gone/dir swap made/here && echo base > etc/file && echo x > opaque/old &&
         echo x > gone/dir/file && echo x > gone-file && echo x > swap/in && ln etc/file twin &&
         chmod 2750 etc/deep && chown 7:8 etc/deep &&
         touch -d '2001-02-03 04:05:06.5' etc/deep etc/deep/er",
        ".",
    ),
    (
        "mkdir -p etc/deep/er opaque made/here && echo new > etc/deep/er/new && echo y > opaque/new &&
         touch .wh.gone .wh.gone-file opaque/.wh..wh..opq && echo z > made/here/file",
        "etc/deep/er/new opaque .wh.gone .wh.gone-file made/here/file",
    ),
    (
        "mkdir -p etc/deep made/here gone && echo file > swap && touch etc/deep/.wh.er made/here/.wh.file &&
         echo back > gone/again",
        "etc/deep/.wh.er made/here/.wh.file swap gone/again",
    ),
    ("mkdir -p etc && echo last > etc/file && ln -s /nowhere link && mkfifo pipe", "."),
];

struct Layer {
    /// An archive that is not packed has one digest, as a blob and as a difference.
    blob: Descriptor,
    bytes: Vec<u8>,
    chain_id: String,
    parent: Option<String>,
}

impl Layer {
    fn labels(&self) -> HashMap<String, String> {
        let mut labels = HashMap::from([
            ("containerd.io/snapshot.ref".to_owned(), self.chain_id.clone()),
            ("containerd.io/snapshot/diff-id".to_owned(), self.blob.digest.clone()),
        ]);
        labels.extend(
            self.parent
                .iter()
                .map(|parent| ("containerd.io/snapshot/parent-chain-id".to_owned(), parent.clone())),
        );
        labels
    }

    /// The key that the client extracts it under.
    fn key(&self) -> String {
        format!("extract-123456789-AbC_ {}", self.chain_id)
    }
}

/// Makes the layers below `folder`.
fn make(folder: &Path) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (number, (script, names)) in LAYERS.iter().enumerate() {
        let (tree, archive) = (folder.join(number.to_string()), folder.join(format!("{number}.tar")));
        std::fs::create_dir_all(&tree).expect("make a folder");
        run(Command::new("sh").args(["-ec", script]).current_dir(&tree)).ok();
        if number == 0 {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(tree.join("etc/deep"), "user.k", b"v", flags).expect("set an attribute");
        }
        let pack = format!(
            "tar --xattrs --format=posix --numeric-owner -cf {} --no-recursion $(find {names})",
            archive.display()
        );
        run(Command::new("sh").args(["-ec", &pack]).current_dir(&tree)).ok();
        let bytes = std::fs::read(&archive).expect("the archive");
        let name = digest(&bytes);
        let parent = layers.last().map(|layer| layer.chain_id.clone());
        let chain_id = match &parent {
            Some(parent) => digest(format!("{parent} {name}").as_bytes()),
            None => name.clone(),
        };
        let size = i64::try_from(bytes.len()).expect("small");
        let blob = Descriptor { media_type: TAR.to_owned(), digest: name, size, ..Descriptor::default() };
        layers.push(Layer { blob, bytes, chain_id, parent });
    }
    layers
}

/// The tree of a layer, its own files with their attributes, its parent, and what it takes.
type Look = (String, BTreeSet<String>, String, UsageResponse);

struct Unpacker(Client);

impl Unpacker {
    fn snapshots(&self) -> SnapshotsClient<tonic::transport::Channel> {
        SnapshotsClient::new(self.0.channel())
    }

    /// Puts the blobs of layers into the content store.
    async fn fetch(&self, layers: &[Layer]) {
        for Layer { blob, bytes, .. } in layers {
            let reference = format!("layer-{}", blob.digest);
            let messages = vec![
                write(&reference, WriteAction::Write, 0, bytes),
                commit(&reference, bytes.len(), &[], &blob.digest),
            ];
            send(&self.0, messages).await.expect("ingest the layer");
        }
    }

    async fn prepare(&self, layer: &Layer, parent: &str) -> Vec<Mount> {
        let request = PrepareSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: layer.key(),
            parent: parent.to_owned(),
            labels: layer.labels(),
        };
        self.snapshots().prepare(self.0.request(request)).await.expect("prepare").into_inner().mounts
    }

    async fn apply(&self, layer: &Layer, mounts: Vec<Mount>) {
        let request = ApplyRequest { diff: Some(layer.blob.clone()), mounts, ..ApplyRequest::default() };
        let applied = DiffClient::new(self.0.channel()).apply(self.0.request(request)).await.expect("apply");
        assert_eq!(applied.into_inner().applied.expect("a descriptor").digest, layer.blob.digest);
    }

    async fn commit(&self, layer: &Layer, parent: Option<&String>) {
        let request = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name: layer.chain_id.clone(),
            key: layer.key(),
            labels: layer.labels(),
            parent: parent.cloned().unwrap_or_default(),
        };
        self.snapshots().commit(self.0.request(request)).await.expect("commit");
        let digest = layer.blob.digest.clone();
        let labels = HashMap::from([("containerd.io/uncompressed".to_owned(), digest.clone())]);
        let request = UpdateRequest {
            info: Some(Info { digest, labels, ..Info::default() }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["labels.containerd.io/uncompressed".to_owned()],
            }),
        };
        ContentClient::new(self.0.channel()).update(self.0.request(request)).await.expect("label the blob");
    }

    async fn unpack_in_turn(&self, layers: &[Layer]) {
        for layer in layers {
            let mounts = self.prepare(layer, layer.parent.as_deref().unwrap_or_default()).await;
            self.apply(layer, mounts).await;
            self.commit(layer, None).await;
        }
    }

    async fn unpack_side_by_side(&self, layers: &[Layer]) {
        let mut prepared = Vec::new();
        for layer in layers {
            let mounts = self.prepare(layer, "").await;
            let mounts = if layer.parent.is_some() { as_overlay(mounts) } else { mounts };
            prepared.push((layer, mounts));
        }
        // All at the same time; here the upper ones begin first.
        let applying = prepared.into_iter().rev().map(|(layer, mounts)| self.apply(layer, mounts));
        for_each_at_once(applying).await;
        for layer in layers {
            self.commit(layer, layer.parent.as_ref()).await;
        }
    }

    /// All there is to know of an unpacked layer.
    async fn look(&self, layer: &Layer, folder: &Path) -> Look {
        let (snapshotter, key) = (SNAPSHOTTER.to_owned(), layer.chain_id.clone());
        let request = ViewSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: format!("view {key}"),
            parent: key.clone(),
            ..ViewSnapshotRequest::default()
        };
        let mounts = self.snapshots().view(self.0.request(request)).await.expect("view").into_inner().mounts;
        let tree = inside(&mounts, folder, LIST);
        let own = call("find", &[top(&mounts[0]).as_str(), "-printf", "%P\\n"]).ok();
        let own =
            own.lines().map(|name| format!("{name} {}", attributes(&Path::new(&top(&mounts[0])).join(name))));
        let own: BTreeSet<String> = own.collect();
        let request = StatSnapshotRequest { snapshotter: snapshotter.clone(), key: key.clone() };
        let stat = self.snapshots().stat(self.0.request(request)).await.expect("stat").into_inner();
        let request = UsageRequest { snapshotter, key };
        let usage = self.snapshots().usage(self.0.request(request)).await.expect("usage").into_inner();
        (tree, own, stat.info.expect("info").parent, usage)
    }
}

/// What the client makes of the mount of a snapshot without a parent, so that deletions in the layer are kept.
fn as_overlay(mounts: Vec<Mount>) -> Vec<Mount> {
    let [mount] = mounts.try_into().expect("one mount");
    assert_eq!(mount.r#type, "bind");
    let mut options: Vec<String> = mount.options.into_iter().filter(|option| option != "rbind").collect();
    options.push(format!("upperdir={}", mount.source));
    let (r#type, source) = ("overlay".to_owned(), "overlay".to_owned());
    vec![Mount { r#type, source, options, ..Mount::default() }]
}

/// The folder with a layer's own files.
fn top(mount: &Mount) -> String {
    let lower = mount.options.iter().find_map(|option| option.strip_prefix("lowerdir="));
    lower.map_or(mount.source.as_str(), |lower| lower.split(':').next().unwrap_or_default()).to_owned()
}

/// The names of a file's attributes.
fn attributes(path: &Path) -> String {
    let mut names = vec![0; 4 << 10];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).expect("list attributes");
    String::from_utf8_lossy(&names[..length]).into_owned()
}

async fn for_each_at_once<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

#[test]
fn layers_unpacked_side_by_side_are_those_unpacked_in_turn() {
    let supervisor = Supervisor::start();
    let folder = supervisor.host().folder("mounted");
    block_on(async {
        let layers = make(&supervisor.host().folder("layers"));
        let mut seen = Vec::new();
        for namespace in ["in-turn", "side-by-side"] {
            let client = Client::connect_as(&supervisor.socket(), namespace).await;
            let lease = CreateRequest { id: "pull".to_owned(), ..CreateRequest::default() };
            LeasesClient::new(client.channel()).create(client.request(lease)).await.expect("a lease");
            let unpacker = Unpacker(client.under("pull"));
            unpacker.fetch(&layers).await;
            if namespace == "in-turn" {
                unpacker.unpack_in_turn(&layers).await;
            } else {
                unpacker.unpack_side_by_side(&layers).await;
            }
            let mut looks = Vec::new();
            for layer in &layers {
                looks.push(unpacker.look(layer, &folder).await);
            }
            seen.push(looks);
        }
        let (tree, ..) = seen[1].last().expect("a tree");
        assert!(tree.contains("./etc/deep d 2750 7:8"), "{tree}");
        for gone in ["gone-file", "gone/dir", "opaque/old", "deep/er", "here/file"] {
            assert!(!tree.contains(gone), "{gone}: {tree}");
        }
        for (apart, in_turn) in seen[1].iter().zip(&seen[0]) {
            assert_eq!(apart, in_turn);
        }
    });
}

/// The client asks for it when the snapshotter says that it can.
#[test]
fn the_snapshotter_says_that_it_can() {
    let supervisor = Supervisor::start();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let filters = vec!["type==io.containerd.snapshotter.v1, id==overlayfs".to_owned()];
        let request = client.request(PluginsRequest { filters });
        let plugins = IntrospectionClient::new(client.channel()).plugins(request).await.expect("plugins");
        let plugins = plugins.into_inner().plugins;
        assert_eq!(plugins.len(), 1);
        assert!(plugins[0].capabilities.contains(&"rebase".to_owned()), "{plugins:?}");
    });
}
