//! One request on its way to a handler: its query, its filters, its body.

use std::sync::Arc;

use bytes::Bytes;
use dhow_engine_api::decode;
use http::{HeaderMap, header, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::error::HttpError;
use super::filter::Filters;
use super::query::Query;
use super::version::Version;
use crate::daemon::Daemon;

/// The largest document that a client may send.
const DOCUMENT_LIMIT: usize = 8 << 20;

/// One request.
pub(crate) struct Call {
    pub(crate) daemon: Arc<Daemon>,
    pub(crate) version: Version,
    pub(crate) query: Query,
    pub(crate) head: request::Parts,
    pub(crate) body: Incoming,
}

impl Call {
    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The `filters` parameter, of which only `accepted` names may be used.
    pub(crate) fn filters(&self, accepted: &[&str]) -> Result<Filters, HttpError> {
        Filters::parse(self.query.text("filters"), accepted)
    }

    /// The document in the body; the default one when the body is empty.
    pub(crate) async fn document<T: DeserializeOwned + Default>(&mut self) -> Result<T, HttpError> {
        let content_type = self.head.headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
        let bytes = self.bytes().await?;
        check_content_type(content_type.as_deref(), bytes.is_empty())?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        decode::from_slice(&bytes).map_err(|error| HttpError::invalid(explain(&error)))
    }

    async fn bytes(&mut self) -> Result<Bytes, HttpError> {
        let body = Limited::new(&mut self.body, DOCUMENT_LIMIT);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(HttpError::invalid(format!("request body is longer than {DOCUMENT_LIMIT} bytes")))
            }
            Err(error) => Err(HttpError::invalid(format!("read request body: {error}"))),
        }
    }
}

/// A body is JSON and says so; without a body, nothing need be said.
fn check_content_type(value: Option<&[u8]>, empty: bool) -> Result<(), HttpError> {
    let text = String::from_utf8_lossy(value.unwrap_or_default());
    let media = text.split(';').next().unwrap_or_default().trim();
    if media.eq_ignore_ascii_case("application/json") || (media.is_empty() && empty) {
        return Ok(());
    }
    let message = format!("Content-Type specified ({text}) must be 'application/json'");
    Err(HttpError::invalid(message))
}

fn explain(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "invalid JSON: unexpected EOF".to_owned();
    }
    if error.is_syntax() && error.to_string().starts_with("trailing characters") {
        return "unexpected content after JSON".to_owned();
    }
    format!("invalid JSON: {error}")
}
