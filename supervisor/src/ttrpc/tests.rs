//! Calls and answers over a real socket.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dhow_proto::containerd::services::events::ttrpc::v1::ForwardRequest;
use dhow_proto::containerd::types::Envelope;
use dhow_proto::error::Kind;
use tokio::net::UnixListener;

use super::*;

const FORWARD: (&str, &str) = ("containerd.services.events.ttrpc.v1.Events", "Forward");

fn envelope(topic: &str) -> ForwardRequest {
    let envelope = Envelope {
        timestamp: Some(prost_types::Timestamp::default()),
        namespace: "moby".to_owned(),
        topic: topic.to_owned(),
        event: None,
    };
    ForwardRequest { envelope: Some(envelope) }
}

#[tokio::test]
async fn events_arrive_from_many_calls_on_one_connection() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("s");
    let taken = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&taken);
    let listener = UnixListener::bind(&path).expect("bind");
    tokio::spawn(serve(listener, move |envelope| sink.lock().expect("lock").push(envelope.topic)));

    let client = Client::connect(&path).await.expect("connect");
    let calls = (0..50).map(|number| {
        let client = client.clone();
        tokio::spawn(async move {
            client.call::<_, ()>(FORWARD, "moby", None, &envelope(&format!("/a/{number}"))).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("join").expect("forward");
    }
    assert_eq!(taken.lock().expect("lock").len(), 50);

    let error = client.call::<_, ()>(FORWARD, "moby", None, &envelope("bad")).await.expect_err("a bad topic");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    let error = client.call::<_, ()>(("x.Y", "Z"), "moby", None, &envelope("/a")).await.expect_err("unknown");
    assert_eq!(error.kind(), Kind::Unimplemented);
}

#[tokio::test]
async fn a_server_that_goes_away_ends_every_call() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bind");
    let client = Client::connect(&path).await.expect("connect");
    let (server, _) = listener.accept().await.expect("accept");

    let limit = Some(Duration::from_millis(20));
    let error = client.call::<_, ()>(FORWARD, "moby", limit, &envelope("/a")).await.expect_err("no answer");
    assert!(matches!(error, CallError::Deadline));

    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.call::<_, ()>(FORWARD, "moby", None, &envelope("/a")).await }
    });
    drop(server);
    assert!(matches!(waiting.await.expect("join"), Err(CallError::Closed)));
    client.closed().await;
    let error = client.call::<_, ()>(FORWARD, "moby", None, &envelope("/a")).await.expect_err("closed");
    assert!(matches!(error, CallError::Closed));
}
