//! The HTTP edge: connections, versions, routes, errors.
//!
//! Owns: what a request and an answer look like on the wire. Does not own: what is done. A handler decodes, makes one
//! call into the domain, encodes; [`router`] is the table of them all.

pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod error;
pub(crate) mod filter;
pub(crate) mod handler;
pub(crate) mod hijack;
pub(crate) mod query;
mod router;
pub(crate) mod version;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use dhow_linux::trace;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use self::body::Answer;
use self::call::Call;
use self::error::HttpError;
use self::query::Query;
use self::version::Version;
use crate::daemon::Daemon;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a request.
const HEAD_LIMIT: usize = 256 << 10;
/// The longest path and query.
const URI_LIMIT: usize = 64 << 10;

/// Serves one connection until its client leaves, or it is hijacked.
pub(crate) async fn serve(daemon: Arc<Daemon>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
    let service = service_fn(move |request| {
        let daemon = Arc::clone(&daemon);
        async move { Ok::<_, Infallible>(answer(daemon, request).await) }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn answer(daemon: Arc<Daemon>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    tracing::debug!(method = %head.method, uri = %head.uri, "request");
    let _span = trace::span("daemon", &step(&head));
    let path: Vec<String> =
        head.uri.path().split('/').filter(|part| !part.is_empty()).map(query::unescape).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let (asked, path) = match path.as_slice() {
        [first, rest @ ..] if version::prefix(first).is_some() => (version::prefix(first), rest),
        whole => (None, whole),
    };
    let version = match asked.map_or_else(|| Ok(Version::newest()), Version::accept) {
        Ok(version) => version,
        Err(error) => return announce(error.answer()),
    };
    if head.uri.to_string().len() > URI_LIMIT {
        return announce(body::empty(StatusCode::URI_TOO_LONG));
    }
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let call = Call { daemon, version, query, head, body };
    match router::route(call, path).await {
        Some(Ok(answer)) => announce(answer),
        Some(Err(error)) => announce(error.answer()),
        None => HttpError::new(dhow_proto::error::Kind::NotFound, "page not found").answer(),
    }
}

/// What a request is called in a start-up waterfall: its path without a version and without long names.
fn step(head: &Parts) -> String {
    let parts = head.uri.path().split('/').filter(|part| !part.is_empty() && version::prefix(part).is_none());
    let path: Vec<&str> = parts.map(|part| if part.len() > 40 { "ID" } else { part }).collect();
    format!("{} /{}", head.method, path.join("/"))
}

/// Adds what every answer of a route says about the daemon.
fn announce(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(
        HeaderName::from_static("api-version"),
        HeaderValue::from_static(dhow_engine_api::API_VERSION),
    );
    headers.insert(HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false"));
    headers.insert(HeaderName::from_static("ostype"), HeaderValue::from_static("linux"));
    let server = concat!("Docker/", env!("CARGO_PKG_VERSION"), " (linux) Dhow/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::SERVER, HeaderValue::from_static(server));
    answer
}
