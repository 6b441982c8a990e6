//! The write stream of the content service.
//!
//! ```text
//! client: {action, ref, total, expected, offset, data}...    the first names the reference, and locks it
//! server: {action, offset, total, digest} for each           STAT: where are we; WRITE: append; COMMIT: append, end
//! ```
//! An offset of 0 starts over; any other must be where we are. When the stream ends without a commit, what was
//! written stays under its reference, for the next stream to go on with.

use dhow_proto::containerd::services::content::v1::{WriteAction, WriteContentRequest, WriteContentResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Replies;
use crate::content::{self, Digest, Writer};
use crate::fault::status;
use crate::label::Labels;
use crate::namespace::Scope;

/// Answers the requests of `stream`, one by one.
pub(super) fn answer(
    store: content::Store,
    scope: Scope,
    stream: Streaming<WriteContentRequest>,
) -> Replies<WriteContentResponse> {
    let (replies, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(error) = serve(&store, &scope, stream, &replies).await {
            // Without a receiver the client has gone, and does not want to know.
            drop(replies.send(Err(error)).await);
        }
    });
    Box::pin(ReceiverStream::new(receiver))
}

async fn serve(
    store: &content::Store,
    scope: &Scope,
    mut stream: Streaming<WriteContentRequest>,
    replies: &mpsc::Sender<Result<WriteContentResponse, Status>>,
) -> Result<(), Status> {
    let Some(mut request) = stream.message().await? else { return Ok(()) };
    if request.r#ref.is_empty() {
        return Err(Status::invalid_argument("first message must have a reference"));
    }
    let reference = std::mem::take(&mut request.r#ref);
    let mut expected = parse(&request.expected)?;
    let mut total = request.total;
    let mut writer = store.writer(scope, &reference, expected.clone(), total).await.map_err(status)?;
    loop {
        if let Some(digest) = parse(&request.expected)? {
            if store.info(&scope.namespace, &digest).is_ok() {
                drop(writer);
                if let Err(error) = store.abort(scope, &reference).await {
                    tracing::debug!(error = %dhow_proto::error::chain(&error), "abort of a needless write failed");
                }
                return Err(Status::already_exists(format!("blob with expected digest {digest} exists")));
            }
            expected = Some(digest);
        }
        if request.total > 0 {
            total = request.total;
        }
        let action = request.action();
        let reply = match action {
            WriteAction::Stat => report(&writer, action, total),
            WriteAction::Write | WriteAction::Commit => {
                append(&mut writer, &mut request).await?;
                let reply = report(&writer, action, total);
                if action == WriteAction::Commit {
                    let labels: Labels = std::mem::take(&mut request.labels).into_iter().collect();
                    writer.commit(total, expected.as_ref(), labels).await.map_err(status)?;
                    drop(replies.send(Ok(reply)).await);
                    return Ok(());
                }
                reply
            }
        };
        if replies.send(Ok(reply)).await.is_err() {
            return Ok(());
        }
        match stream.message().await? {
            Some(next) => request = next,
            None => return Ok(()),
        }
    }
}

async fn append(writer: &mut Writer, request: &mut WriteContentRequest) -> Result<(), Status> {
    let (offset, at) = (request.offset, writer.offset());
    if offset > 0 && offset != at {
        return Err(Status::out_of_range(format!("write @{offset} must occur at current offset {at}")));
    }
    if offset == 0 && at > 0 {
        writer.restart().await.map_err(status)?;
    }
    writer.write(std::mem::take(&mut request.data).into()).await.map_err(status)
}

fn report(writer: &Writer, action: WriteAction, total: i64) -> WriteContentResponse {
    let now = writer.status();
    WriteContentResponse {
        action: action.into(),
        started_at: now.started_at,
        updated_at: now.updated_at,
        offset: now.offset,
        total,
        digest: writer.digest().to_string(),
    }
}

fn parse(text: &str) -> Result<Option<Digest>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Status::invalid_argument(format!("{text:?} failed validation")))
}
