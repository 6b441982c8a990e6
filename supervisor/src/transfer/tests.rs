//! Streams between a client and us, both in this process.

use std::io::{Read, Write};

use dhow_proto::any;
use dhow_proto::containerd::types::transfer::{Data, WindowUpdate};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use prost_types::Any;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::bytes::{Incoming, Outgoing};
use super::stream::{Closing, StreamError, Streams};
use crate::blocking;
use crate::namespace::Namespace;

/// A client's side of a stream.
struct Client {
    sender: mpsc::Sender<Result<Any, Status>>,
    receiver: BoxStream<'static, Result<Any, Status>>,
}

fn namespace() -> Namespace {
    "test".parse().expect("a name")
}

fn open(streams: &Streams, id: &str) -> Result<Client, StreamError> {
    let (sender, incoming) = mpsc::channel(1);
    let incoming = ReceiverStream::new(incoming).boxed();
    let receiver = streams.open(namespace(), id.to_owned(), incoming)?;
    Ok(Client { sender, receiver })
}

async fn next<M: prost::Message + prost::Name + Default>(client: &mut Client) -> Option<M> {
    let message = client.receiver.next().await?.expect("no error");
    Some(any::unpack(&message).expect("the expected type").expect("sound"))
}

#[tokio::test]
async fn a_stream_is_ready_known_and_forgotten() {
    let streams = Streams::default();
    let mut client = open(&streams, "one").expect("open");
    let ready = client.receiver.next().await.expect("a message").expect("no error");
    assert_eq!(ready.type_url, "google.protobuf.Empty");
    assert!(matches!(open(&streams, "one"), Err(StreamError::AlreadyExists(_))));
    let other: Namespace = "other".parse().expect("a name");
    assert!(matches!(streams.find(&other, "one"), Err(StreamError::NotFound(_))));
    drop(Closing(streams.find(&namespace(), "one").expect("open")));
    assert!(client.receiver.next().await.is_none(), "closed from our side");
    drop(client);
    while streams.find(&namespace(), "one").is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bytes_come_in_within_the_window() {
    let streams = Streams::default();
    let mut client = open(&streams, "in").expect("open");
    client.receiver.next().await;
    let mut input = Incoming::new(streams.find(&namespace(), "in").expect("open"));
    let reading = tokio::spawn(blocking::run(move || {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map(|_| bytes)
    }));
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| number.to_le_bytes()[0]).collect();
    let (mut window, mut rest) = (0, sent.as_slice());
    while !rest.is_empty() {
        while window <= 0 {
            window += next::<WindowUpdate>(&mut client).await.expect("an update").update;
        }
        let count = rest.len().min(32 << 10).min(usize::try_from(window).expect("positive"));
        let data = Data { data: rest[..count].to_vec() };
        client.sender.send(Ok(any::pack(&data))).await.expect("received");
        (window, rest) = (window - i32::try_from(count).expect("small"), &rest[count..]);
    }
    drop(client);
    assert!(reading.await.expect("no panic").expect("read") == sent);
}

#[tokio::test]
async fn bytes_go_out_only_as_the_window_allows() {
    let streams = Streams::default();
    let mut client = open(&streams, "out").expect("open");
    client.receiver.next().await;
    let stream = streams.find(&namespace(), "out").expect("open");
    let (mut output, sending) = Outgoing::new(stream.clone());
    let writing = tokio::spawn(blocking::run(move || output.write_all(&[7; 100_000])));
    let sending = tokio::spawn(async move {
        let sent = sending.await;
        stream.close().await;
        sent
    });
    let mut received = Vec::new();
    for update in [10, 50_000, 1_000_000] {
        client.sender.send(Ok(any::pack(&WindowUpdate { update }))).await.expect("received");
        let allowed = (received.len() + usize::try_from(update).expect("positive")).min(100_000);
        while received.len() < allowed {
            received.extend(next::<Data>(&mut client).await.expect("data").data);
        }
        assert_eq!(received.len(), allowed);
    }
    assert!(next::<Data>(&mut client).await.is_none(), "the end");
    writing.await.expect("no panic").expect("written");
    sending.await.expect("no panic").expect("sent");
    assert_eq!(received, [7; 100_000]);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work() {
    let streams = Streams::default();
    let client = open(&streams, "out").expect("open");
    let stream = streams.find(&namespace(), "out").expect("open");
    drop(client);
    let (mut output, sending) = Outgoing::new(stream);
    let writing = tokio::spawn(blocking::run(move || while output.write_all(&[0; 65_536]).is_ok() {}));
    sending.await.expect("the client wants no more");
    writing.await.expect("it ends");
}
