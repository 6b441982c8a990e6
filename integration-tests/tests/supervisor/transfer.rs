//! Transfers: images between registries, the store and archives, with the streams that clients open beside them.

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::image;
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::any;
use dhow_proto::containerd::services::images::v1::GetImageRequest;
use dhow_proto::containerd::services::images::v1::images_client::ImagesClient;
use dhow_proto::containerd::services::snapshots::v1::StatSnapshotRequest;
use dhow_proto::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use dhow_proto::containerd::services::streaming::v1::StreamInit;
use dhow_proto::containerd::services::streaming::v1::streaming_client::StreamingClient;
use dhow_proto::containerd::services::transfer::v1::transfer_client::TransferClient;
use dhow_proto::containerd::services::transfer::v1::{TransferOptions, TransferRequest};
use dhow_proto::containerd::types::Platform;
use dhow_proto::containerd::types::transfer::{
    AuthRequest, AuthResponse, AuthType, Data, ImageExportStream, ImageStore, OciRegistry, Progress,
    RegistryResolver, UnpackConfiguration, WindowUpdate,
};
use prost::{Message, Name};
use prost_types::Any;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// One user, `user` with the password `pass`.
const PASSWORDS: &str = "user:$2b$04$Tzh8jwnXsoEsvqQFGXas3e6fDn9bEBR0CCScUIpyKk3qCtl711T0a\n";

/// A stream that this client opened.
struct Stream {
    sender: mpsc::Sender<Any>,
    receiver: Streaming<Any>,
}

impl Stream {
    async fn open(client: &Client, id: &str) -> Self {
        let (sender, outgoing) = mpsc::channel(8);
        sender.send(any::pack(&StreamInit { id: id.to_owned() })).await.expect("open");
        let request = client.request(ReceiverStream::new(outgoing));
        let mut receiver =
            StreamingClient::new(client.channel()).stream(request).await.expect("stream").into_inner();
        let ready = receiver.message().await.expect("no error").expect("a message");
        assert_eq!(ready.type_url, "google.protobuf.Empty");
        Self { sender, receiver }
    }

    async fn next<M: Message + Name + Default>(&mut self) -> Option<M> {
        let message = self.receiver.message().await.expect("no error")?;
        Some(any::unpack(&message).expect("the expected type").expect("sound"))
    }
}

async fn transfer<S: Message + Name, D: Message + Name>(
    client: &Client,
    source: &S,
    destination: &D,
    progress: &str,
) -> Result<(), Status> {
    let request = TransferRequest {
        source: Some(any::pack(source)),
        destination: Some(any::pack(destination)),
        options: Some(TransferOptions { progress_stream: progress.to_owned() }),
    };
    TransferClient::new(client.channel()).transfer(client.request(request)).await.map(drop)
}

fn registry(reference: &str, auth_stream: &str) -> OciRegistry {
    let resolver = RegistryResolver {
        auth_stream: auth_stream.to_owned(),
        default_scheme: "http".to_owned(),
        ..RegistryResolver::default()
    };
    OciRegistry { reference: reference.to_owned(), resolver: Some(resolver) }
}

/// The image store as a destination, unpacking for this machine.
fn store(name: &str) -> ImageStore {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let platform =
        Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), ..Platform::default() };
    let unpack =
        UnpackConfiguration { platform: Some(platform.clone()), snapshotter: "overlayfs".to_owned() };
    ImageStore {
        name: name.to_owned(),
        platforms: vec![platform],
        unpacks: vec![unpack],
        ..ImageStore::default()
    }
}

/// Answers every question on `stream` with a name and a password; returns what was asked for.
async fn answer(mut stream: Stream, user: &str, secret: &str) -> Vec<AuthRequest> {
    let mut questions = Vec::new();
    while let Some(question) = stream.next::<AuthRequest>().await {
        questions.push(question);
        let answer = AuthResponse {
            auth_type: AuthType::Credentials.into(),
            username: user.to_owned(),
            secret: secret.to_owned(),
            ..AuthResponse::default()
        };
        stream.sender.send(any::pack(&answer)).await.expect("send");
    }
    questions
}

#[test]
fn a_pull_tells_its_progress_part_by_part() {
    let (supervisor, source) = (Supervisor::start(), Registry::start());
    let reference = image::push("debian", &source.address());
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let mut stream = Stream::open(&client, "progress").await;
        let (from, to) = (registry(&reference, ""), store(&reference));
        let watch = async {
            let mut updates = Vec::new();
            while let Some(update) = stream.next::<Progress>().await {
                updates.push(update);
            }
            updates
        };
        let (pulled, updates) = tokio::join!(transfer(&client, &from, &to, "progress"), watch);
        pulled.expect("pull");
        let layers = updates.iter().filter(|update| update.name.starts_with("layer-"));
        let events = |event: &str| layers.clone().filter(|update| update.event == event).count();
        assert_eq!((events("waiting"), events("complete"), events("extracted")), (3, 3, 3), "{updates:#?}");
        assert!(events("downloading") >= 3, "{updates:#?}");
        assert!(layers.clone().all(|update| update.parents[0].starts_with("manifest-")));
        assert!(updates.iter().any(|update| update.event == "saved" && update.name == reference));

        let mut stream = Stream::open(&client, "again").await;
        let watch = async {
            let mut exists = 0;
            while let Some(update) = stream.next::<Progress>().await {
                exists += usize::from(update.event == "already exists" && update.name.starts_with("layer-"));
            }
            exists
        };
        let (pulled, exists) = tokio::join!(transfer(&client, &from, &to, "again"), watch);
        pulled.expect("pull again");
        assert_eq!(exists, 3);
    });
}

#[test]
fn credentials_are_asked_for_over_a_stream() {
    let (supervisor, source) = (Supervisor::start(), Registry::with_password(PASSWORDS));
    let reference = format!("{}/busybox:1", source.address());
    let layout = format!("oci:{}:busybox", image::layout().display());
    let target = format!("docker://{reference}");
    image::skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", "user:pass", &layout, &target]).ok();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let refused = transfer(&client, &registry(&reference, ""), &store(&reference), "").await;
        let refused = refused.expect_err("anonymous");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains("pull access denied"), "{refused}");

        let wrong = Stream::open(&client, "wrong").await;
        let (from, to) = (registry(&reference, "wrong"), store(&reference));
        let (refused, _) = tokio::join!(transfer(&client, &from, &to, ""), answer(wrong, "user", "no"));
        assert_eq!(refused.expect_err("a wrong password").code(), Code::Unauthenticated);

        let right = Stream::open(&client, "right").await;
        let (from, to) = (registry(&reference, "right"), store(&reference));
        let (pulled, questions) =
            tokio::join!(transfer(&client, &from, &to, ""), answer(right, "user", "pass"));
        pulled.expect("pull");
        assert_eq!(questions.len(), 1, "asked once: {questions:?}");
        assert_eq!(questions[0].host, source.address());

        let other = format!("{}/copy:2", source.address());
        transfer(&client, &store(&reference), &store(&other), "").await.expect("tag");
        let stream = Stream::open(&client, "push").await;
        let (from, to) = (store(&other), registry(&other, "push"));
        let (pushed, _) = tokio::join!(transfer(&client, &from, &to, ""), answer(stream, "user", "pass"));
        pushed.expect("push");
        let there = format!("docker://{other}");
        image::skopeo(&["inspect", "--tls-verify=false", "--creds", "user:pass", &there]).ok();
    });
}

#[test]
fn an_image_goes_out_as_an_archive() {
    let (supervisor, source) = (Supervisor::start(), Registry::start());
    let reference = image::push("busybox", &source.address());
    let archive = supervisor.host().path("export.tar");
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        transfer(&client, &registry(&reference, ""), &store(&reference), "").await.expect("pull");
        let mut stream = Stream::open(&client, "export").await;
        let export = ImageExportStream { stream: "export".to_owned(), ..ImageExportStream::default() };
        let receive = async {
            let mut bytes = Vec::new();
            stream.sender.send(any::pack(&WindowUpdate { update: i32::MAX })).await.expect("send");
            while let Some(Data { data }) = stream.next::<Data>().await {
                bytes.extend(data);
            }
            bytes
        };
        let from = ImageStore { name: reference.clone(), ..ImageStore::default() };
        let (exported, bytes) = tokio::join!(transfer(&client, &from, &export, ""), receive);
        exported.expect("export");
        std::fs::write(&archive, bytes).expect("write");
    });
    for form in ["oci-archive", "docker-archive"] {
        let description = image::skopeo(&["inspect", &format!("{form}:{}", archive.display())]).ok();
        assert!(description.contains("\"Layers\""), "{form}: {description}");
    }
}

#[test]
fn what_is_not_there_is_said_in_containerds_words() {
    let (supervisor, source) = (Supervisor::start(), Registry::start());
    let missing = format!("{}/missing:1", source.address());
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let error =
            transfer(&client, &registry(&missing, ""), &store(&missing), "").await.expect_err("missing");
        assert_eq!(error.code(), Code::NotFound);
        assert_eq!(error.message(), format!("failed to resolve image: {missing}: not found"));
        let request = client.request(GetImageRequest { name: missing.clone() });
        let get = ImagesClient::new(client.channel()).get(request).await;
        assert_eq!(get.expect_err("not recorded").code(), Code::NotFound);
        let error = transfer(&client, &store("a"), &store("b"), "nowhere").await.expect_err("no stream");
        assert_eq!(error.code(), Code::NotFound);
        let (from, to) = (registry(&missing, ""), registry(&missing, ""));
        let error = transfer(&client, &from, &to, "").await.expect_err("makes no sense");
        assert_eq!(error.code(), Code::Unimplemented);
        let request = StatSnapshotRequest { snapshotter: "overlayfs".to_owned(), key: "none".to_owned() };
        let stat = SnapshotsClient::new(client.channel()).stat(client.request(request)).await;
        assert_eq!(stat.expect_err("nothing was unpacked").code(), Code::NotFound);
    });
}
