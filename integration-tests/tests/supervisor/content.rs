//! Content: ingest, verify, resume, read, refuse.

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::content::v1::content_client::ContentClient;
use dhow_proto::containerd::services::content::v1::{
    InfoRequest, ReadContentRequest, StatusRequest, WriteAction, WriteContentRequest, WriteContentResponse,
};
use sha2::{Digest, Sha256};
use tonic::{Code, Status};

const BLOB: &[u8] = b"a blob of some bytes";

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn write(reference: &str, action: WriteAction, offset: usize, data: &[u8]) -> WriteContentRequest {
    WriteContentRequest {
        action: action.into(),
        r#ref: reference.to_owned(),
        offset: i64::try_from(offset).expect("small"),
        data: data.to_vec(),
        ..WriteContentRequest::default()
    }
}

pub(crate) async fn send(
    client: &Client,
    messages: Vec<WriteContentRequest>,
) -> Result<WriteContentResponse, Status> {
    let mut content = ContentClient::new(client.channel());
    let mut answers = content.write(client.request(tokio_stream::iter(messages))).await?.into_inner();
    let mut last = WriteContentResponse::default();
    while let Some(answer) = answers.message().await? {
        last = answer;
    }
    Ok(last)
}

pub(crate) fn commit(reference: &str, offset: usize, data: &[u8], expected: &str) -> WriteContentRequest {
    WriteContentRequest {
        expected: expected.to_owned(),
        ..write(reference, WriteAction::Commit, offset, data)
    }
}

#[test]
fn a_blob_is_committed_once_and_read_in_parts() {
    let supervisor = Supervisor::start();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let name = digest(BLOB);
        let answer = send(
            &client,
            vec![write("one", WriteAction::Write, 0, BLOB), commit("one", BLOB.len(), &[], &name)],
        );
        assert_eq!(answer.await.expect("commit").digest, name);
        let again = send(
            &client,
            vec![write("two", WriteAction::Write, 0, BLOB), commit("two", BLOB.len(), &[], &name)],
        );
        assert_eq!(again.await.expect_err("known already").code(), Code::AlreadyExists);

        let mut content = ContentClient::new(client.channel());
        let request = ReadContentRequest { digest: name.clone(), offset: 2, size: 4 };
        let mut parts = content.read(client.request(request)).await.expect("read").into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = parts.message().await.expect("a part") {
            bytes.extend(part.data);
        }
        assert_eq!(bytes, &BLOB[2..6]);
        let info =
            content.info(client.request(InfoRequest { digest: name })).await.expect("info").into_inner();
        assert_eq!(info.info.expect("info").size, i64::try_from(BLOB.len()).expect("small"));
    });
}

#[test]
fn a_wrong_digest_is_never_visible() {
    let supervisor = Supervisor::start();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let wrong = digest(b"something else");
        let refused = send(
            &client,
            vec![write("w", WriteAction::Write, 0, BLOB), commit("w", BLOB.len(), &[], &wrong)],
        );
        assert_eq!(refused.await.expect_err("wrong digest").code(), Code::FailedPrecondition);
        let mut content = ContentClient::new(client.channel());
        for name in [wrong, digest(BLOB)] {
            let missing =
                content.info(client.request(InfoRequest { digest: name })).await.expect_err("nothing there");
            assert_eq!(missing.code(), Code::NotFound);
        }
    });
}

#[test]
fn an_ingest_goes_on_after_a_killed_supervisor() {
    let mut supervisor = Supervisor::start();
    let name = digest(BLOB);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        send(&client, vec![write("half", WriteAction::Write, 0, &BLOB[..7])]).await.expect("write");
    });
    supervisor.kill();
    supervisor.launch();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let mut content = ContentClient::new(client.channel());
        let status =
            content.status(client.request(StatusRequest { r#ref: "half".to_owned() })).await.expect("status");
        assert_eq!(status.into_inner().status.expect("status").offset, 7);
        let answer = send(
            &client,
            vec![write("half", WriteAction::Write, 7, &BLOB[7..]), commit("half", BLOB.len(), &[], &name)],
        );
        assert_eq!(answer.await.expect("commit").digest, name);
    });
}
