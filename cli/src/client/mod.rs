//! The Engine API over HTTP/1.1: one kept connection, version negotiation, errors, hijacking.

mod error;
mod hijack;
mod host;
pub(crate) mod query;
mod reply;
mod stream;
mod version;

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;

pub(crate) use error::{ClientError, chain};
pub(crate) use hijack::{Connection, Hijacked};
pub(crate) use host::{Host, HostError};
pub(crate) use query::Query;
pub(crate) use reply::{JsonLines, Reply};
pub(crate) use stream::Stream;
pub(crate) use version::ApiVersion;

/// What a request carries.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What the daemon said of itself when pinged.
#[derive(Debug, Clone)]
pub(crate) struct Ping {
    /// Newest API version of the daemon, or what its silence means.
    pub(crate) api: ApiVersion,
}

/// A client of one daemon.
#[derive(Debug)]
pub(crate) struct Client {
    host: Host,
    headers: HeaderMap,
    /// A version chosen by the user, which is not negotiated.
    fixed: Option<ApiVersion>,
    ping: RefCell<Option<Ping>>,
    idle: RefCell<Option<SendRequest<Body>>>,
}

/// One request to be sent.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Query,
    headers: HeaderMap,
    body: Option<Body>,
}

impl Call {
    /// A request without body or query.
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Query::new(), headers: HeaderMap::new(), body: None }
    }

    /// A `GET`.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A `POST`.
    pub(crate) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// A `DELETE`.
    pub(crate) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Sets the query.
    pub(crate) fn query(mut self, query: Query) -> Self {
        self.query = query;
        self
    }

    /// Sets a JSON body.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(value).map_err(|source| ClientError::Encode { source })?;
        let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync();
        Ok(self.body(body, "application/json"))
    }

    /// Sets any body.
    pub(crate) fn body(mut self, body: Body, content_type: &'static str) -> Self {
        self.body = Some(body);
        self.header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds the credentials for a registry, when there are some.
    pub(crate) fn registry_auth(self, encoded: &str) -> Self {
        match HeaderValue::from_str(encoded) {
            Ok(value) if !encoded.is_empty() => {
                self.header(HeaderName::from_static("x-registry-auth"), value)
            }
            _ => self,
        }
    }
}

impl Client {
    /// A client of the daemon at `host`; nothing is sent yet.
    pub(crate) fn new(host: Host, fixed: Option<ApiVersion>, headers: HeaderMap) -> Self {
        Self { host, headers, fixed, ping: RefCell::new(None), idle: RefCell::new(None) }
    }

    /// Where the daemon is.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The API version spoken with this daemon; asks it once.
    pub(crate) async fn version(&self) -> Result<ApiVersion, ClientError> {
        if let Some(fixed) = self.fixed {
            return Ok(fixed);
        }
        Ok(self.ping().await?.api.min(ApiVersion::NEWEST))
    }

    /// What the daemon said when pinged; asks it once.
    pub(crate) async fn ping(&self) -> Result<Ping, ClientError> {
        if let Some(ping) = &*self.ping.borrow() {
            return Ok(ping.clone());
        }
        let mut reply = self.exchange(Call::new(Method::HEAD, "/_ping"), None).await?;
        if !matches!(reply.status().as_u16(), 200 | 500) {
            reply = self.exchange(Call::get("/_ping"), None).await?;
        }
        let ping = Ping {
            api: reply.header("api-version").and_then(|text| text.parse().ok()).unwrap_or(ApiVersion::OLDEST),
        };
        reply.discard().await;
        *self.ping.borrow_mut() = Some(ping.clone());
        Ok(ping)
    }

    /// Fails unless the daemon speaks at least `version`, which the flag `flag` needs.
    pub(crate) async fn require(&self, flag: &str, version: ApiVersion) -> Result<(), ClientError> {
        let daemon = self.version().await?;
        if daemon < version {
            return Err(ClientError::FlagVersion { flag: flag.to_owned(), version, daemon });
        }
        Ok(())
    }

    /// Sends a request; an error status is an error.
    pub(crate) async fn send(&self, call: Call) -> Result<Reply, ClientError> {
        let version = self.version().await?;
        self.exchange(call, Some(version)).await?.checked().await
    }

    /// Sends a request and reads the JSON it is answered with.
    pub(crate) async fn fetch<T: serde::de::DeserializeOwned>(&self, call: Call) -> Result<T, ClientError> {
        let path = call.path.clone();
        self.send(call).await?.json(&path).await
    }

    /// Sends a request whose answer carries nothing.
    pub(crate) async fn done(&self, call: Call) -> Result<(), ClientError> {
        self.send(call).await?.discard().await;
        Ok(())
    }

    /// Sends a request that turns its connection into a stream of bytes both ways.
    pub(crate) async fn hijack(&self, call: Call) -> Result<Hijacked, ClientError> {
        let version = self.version().await?;
        let call = call
            .header(header::CONNECTION, HeaderValue::from_static("Upgrade"))
            .header(header::UPGRADE, HeaderValue::from_static("tcp"));
        let reply = self.exchange(call, Some(version)).await?.checked().await?;
        reply.upgrade().await
    }

    async fn exchange(&self, call: Call, version: Option<ApiVersion>) -> Result<Reply, ClientError> {
        let Call { method, path, query, headers, body } = call;
        let prefix = version.map(|version| format!("/v{version}")).unwrap_or_default();
        let query = query.finish();
        let empty = body.is_none();
        let body =
            body.unwrap_or_else(|| Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync());
        let mut request = Request::builder()
            .method(&method)
            .uri(format!("{prefix}{path}{query}"))
            .header(header::HOST, self.host.authority())
            .body(body)
            .map_err(|source| ClientError::Request { path: path.clone(), source })?;
        let fields = request.headers_mut();
        fields.extend(self.headers.clone());
        fields.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("Docker-Client/", env!("CARGO_PKG_VERSION"), " (linux; dhow)")),
        );
        fields.extend(headers);
        if empty && method == Method::POST {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let mut sender = self.connection().await?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|source| ClientError::Exchange { path, source })?;
        // It is free again once this answer was read, which `ready` waits for or refuses.
        *self.idle.borrow_mut() = Some(sender);
        Ok(Reply::new(answer))
    }

    /// The kept connection when it is free, else a new one.
    async fn connection(&self) -> Result<SendRequest<Body>, ClientError> {
        let kept = self.idle.borrow_mut().take();
        if let Some(mut sender) = kept {
            // Lets the connection's task see that the last answer ended.
            tokio::task::yield_now().await;
            if futures_util::FutureExt::now_or_never(sender.ready()).is_some_and(|ready| ready.is_ok()) {
                return Ok(sender);
            }
        }
        let stream = Stream::connect(&self.host).await?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|source| ClientError::Exchange { path: "/".into(), source })?;
        // Its errors reach whoever waits for the answer.
        drop(tokio::spawn(connection.with_upgrades()));
        Ok(sender)
    }
}
