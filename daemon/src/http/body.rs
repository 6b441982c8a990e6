//! Bodies of answers: empty, text, one document, or a stream of lines.

use std::io;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde::Serialize;

use super::error::HttpError;

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(crate) type Answer = Response<Body>;
/// What a handler returns.
pub(crate) type Outcome = Result<Answer, HttpError>;

/// Only a status.
pub(crate) fn empty(status: StatusCode) -> Answer {
    with(status, Empty::new().map_err(|never| match never {}).boxed_unsync())
}

/// A whole body of a content type.
pub(crate) fn whole(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Answer {
    let mut answer = with(status, Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// One document, and a line end as Go's encoder writes it.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Answer {
    match serde_json::to_vec(document) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            whole(status, "application/json", bytes)
        }
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// One document with status 200.
pub(crate) fn ok(document: &impl Serialize) -> Outcome {
    Ok(json(StatusCode::OK, document))
}

/// A body whose parts are sent as they come; its headers leave at once.
pub(crate) fn stream(
    content_type: &'static str,
    parts: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Answer {
    let mut answer =
        with(StatusCode::OK, StreamBody::new(parts.map(|part| part.map(Frame::data))).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A stream of documents, one a line.
pub(crate) fn lines<T: Serialize>(documents: impl Stream<Item = T> + Send + 'static) -> Answer {
    stream("application/json", documents.map(|document| line(&document)))
}

/// One document and a line end.
pub(crate) fn line(document: &impl Serialize) -> io::Result<Bytes> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

fn with(status: StatusCode, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}
