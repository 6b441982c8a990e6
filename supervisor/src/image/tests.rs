//! Images through the stores of a supervisor in a temporary folder. Unpacking makes whiteouts and owners: as root.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::archive::ExportOptions;
use super::manifest::{DOCKER_MANIFEST, Index};
use super::*;
use crate::content::{self, Digest};
use crate::diff::{ArchiveWriter, Entry, EntryKind, Reader, Timestamp};
use crate::event::Exchange;
use crate::gc::Trigger;
use crate::ledger::Ledger;
use crate::namespace::Scope;
use crate::snapshot::Snapshotters;
use crate::{lease, metadata};

/// Stores of their own.
struct Fixture {
    transport: Transport,
    scope: Scope,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (root, journal) = (folder.path(), folder.path().join("journal"));
        let metadata = metadata::Store::open(&root.join("metadata"), &journal).expect("open metadata");
        let (events, (collector, _requests)) = (Exchange::default(), Trigger::new());
        let content = content::Store::open(root, metadata.clone(), events.clone(), collector.clone());
        let transport = Transport::new(
            content.expect("open content"),
            Store::new(Ledger::new(metadata.clone(), events.clone(), collector.clone())),
            lease::Store::new(metadata.clone(), collector.clone()),
            Snapshotters::open(root, &metadata, &events, &collector).expect("open snapshots"),
        );
        let scope = Scope { namespace: "test".parse().expect("a name"), lease: None };
        Self { transport, scope, folder }
    }

    fn selection() -> Selection {
        let unpack = Unpack { platform: platform::Platform::host(), snapshotter: String::new() };
        Selection { unpacks: vec![unpack], ..Selection::default() }
    }
}

fn file(path: &str, bytes: &[u8]) -> (Entry, Vec<u8>) {
    let kind = EntryKind::File { size: bytes.len() as u64, segments: None };
    let (path, modified) = (path.into(), Timestamp::default());
    (Entry { path, kind, mode: 0o644, uid: 0, gid: 0, modified, attributes: Vec::new() }, bytes.to_vec())
}

fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(Vec::new());
    for (entry, data) in entries {
        writer.append(entry, data.as_slice()).expect("append");
    }
    writer.finish().expect("finish")
}

/// What `docker save` makes of an image of two layers, called `busybox:1`.
fn saved() -> (Vec<u8>, Vec<Digest>) {
    let layers =
        [tar(&[file("a", b"one"), file("gone", b"x")]), tar(&[file("b", b"two"), file(".wh.gone", b"")])];
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let texts: Vec<&str> = diff_ids.iter().map(Digest::as_str).collect();
    let host = platform::Platform::host();
    let config = serde_json::json!({
        "architecture": host.architecture, "os": host.os, "rootfs": { "type": "layers", "diff_ids": texts },
    });
    let manifest = serde_json::json!([{
        "Config": "config.json", "RepoTags": ["busybox:1", "other/name:2"], "Layers": ["1/layer.tar", "2/layer.tar"],
    }]);
    let mut link = file("2/layer.tar", b"");
    link.0.kind = EntryKind::Symlink(b"../real/layer.tar".to_vec());
    let archive = tar(&[
        file("config.json", config.to_string().as_bytes()),
        file("1/layer.tar", &layers[0]),
        link,
        file("real/layer.tar", &layers[1]),
        file("manifest.json", manifest.to_string().as_bytes()),
    ]);
    (archive, diff_ids)
}

/// A place to write that can be read afterwards.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(data)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn import(fixture: &Fixture, archive: Vec<u8>) -> Result<Index, TransportError> {
    let leased = fixture.transport.lease(&fixture.scope).await?;
    let (_, index) = fixture.transport.import(&leased.scope, std::io::Cursor::new(archive), false).await?;
    let (selection, progress) = (Fixture::selection(), Progress::default());
    fixture.transport.settle(&leased.scope, &index, &selection, &progress).await?;
    Ok(index)
}

#[tokio::test]
async fn a_saved_image_is_imported_unpacked_and_exported_again() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("needs root");
    }
    let fixture = Fixture::new();
    let (archive, diff_ids) = saved();
    let index = import(&fixture, archive).await.expect("import");
    let names: Vec<&str> =
        index.manifests.iter().map(|image| image.annotations[archive::IMAGE_NAME].as_str()).collect();
    assert_eq!(names, ["docker.io/library/busybox:1", "docker.io/other/name:2"]);
    assert_eq!(index.manifests[0].media_type, DOCKER_MANIFEST);
    let top = manifest::chain_ids(&diff_ids).pop().expect("two layers");
    let snapshots = fixture.transport.snapshotters.named("overlayfs").expect("there");
    let layers = snapshots.layers(&fixture.scope.namespace, top.as_str()).expect("unpacked");
    assert_eq!(std::fs::read(layers[0].join("b")).expect("read"), b"two");
    assert_eq!(std::fs::read(layers[1].join("a")).expect("read"), b"one");
    assert!(layers[0].join("gone").symlink_metadata().is_ok(), "a whiteout");

    let target = index.manifests[0].clone();
    let images = [(
        "docker.io/library/busybox:1".to_owned(),
        manifest::Descriptor { annotations: Default::default(), ..target.clone() },
    )];
    let output = Shared::default();
    fixture
        .transport
        .export(&fixture.scope, &images, &ExportOptions::default(), output.clone())
        .await
        .expect("export");
    let exported = output.0.lock().expect("no panic").clone();
    let mut reader = Reader::new(exported.as_slice());
    let mut paths = Vec::new();
    while let Some(entry) = reader.next().expect("sound") {
        let path = String::from_utf8(entry.path).expect("text");
        if path == "manifest.json" {
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("read");
            assert!(text.contains(r#""RepoTags":["busybox:1"]"#), "{text}");
        }
        paths.push(path);
    }
    assert!(
        paths.contains(&"oci-layout".to_owned()) && paths.contains(&"index.json".to_owned()),
        "{paths:?}"
    );

    // Into another supervisor: as an OCI layout this time, for the archive is both.
    let other = Fixture::new();
    let again = import(&other, exported).await.expect("import");
    assert_eq!(again.manifests[0].digest, target.digest);
    assert_eq!(again.manifests[0].annotations[archive::IMAGE_NAME], "docker.io/library/busybox:1");
    let snapshots = other.transport.snapshotters.named("overlayfs").expect("there");
    assert!(snapshots.stat(&other.scope.namespace, top.as_str()).is_ok());
    drop((fixture.folder, other.folder));
}

#[tokio::test]
async fn archives_that_lie_are_refused() {
    let fixture = Fixture::new();
    let refused = async |entries: &[(Entry, Vec<u8>)]| {
        import(&fixture, tar(entries)).await.map(drop).expect_err("it lies").to_string()
    };
    assert!(refused(&[file("some", b"file")]).await.contains("unrecognized image format"));
    let layout = file("oci-layout", br#"{"imageLayoutVersion":"9"}"#);
    assert!(refused(&[layout]).await.contains("unsupported OCI version 9"));
    let missing = file("manifest.json", br#"[{"Config":"../../etc/passwd","Layers":[]}]"#);
    assert!(refused(&[missing]).await.contains("is not in the image archive"));
    let wrong = format!("blobs/sha256/{}", "0".repeat(64));
    assert!(refused(&[file(&wrong, b"other content")]).await.contains("unexpected commit digest"));
    let mut circle = file("config.json", b"");
    circle.0.kind = EntryKind::Symlink(b"config.json".to_vec());
    let manifest = file("manifest.json", br#"[{"Config":"config.json","Layers":[]}]"#);
    assert!(refused(&[circle, manifest]).await.contains("is not in the image archive"));
    assert!(import(&fixture, b"\x1f\x8b\x08cut".to_vec()).await.is_err());
}

#[tokio::test]
async fn a_layer_that_is_not_what_the_configuration_says_is_never_published() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("needs root");
    }
    let fixture = Fixture::new();
    let host = platform::Platform::host();
    let lie = Digest::of(b"something else");
    let config = serde_json::json!({
        "architecture": host.architecture, "os": host.os, "rootfs": { "diff_ids": [lie.as_str()] },
    });
    let manifest = file("manifest.json", br#"[{"Config":"config.json","Layers":["layer.tar"]}]"#);
    let layer = file("layer.tar", &tar(&[file("a", b"one")]));
    let archive = tar(&[file("config.json", config.to_string().as_bytes()), layer, manifest]);
    let error = import(&fixture, archive).await.expect_err("it lies");
    assert!(matches!(error, TransportError::DiffId { .. }), "{error}");
    let snapshots = fixture.transport.snapshotters.named("overlayfs").expect("there");
    assert!(snapshots.stat(&fixture.scope.namespace, lie.as_str()).is_err());
}
