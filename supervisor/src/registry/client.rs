//! Requests to the hosts of a registry: authentication, redirects, retries, and falling over to the next host.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Response, Url};

use super::auth::{Authorizer, Scopes, action};
use super::credentials::CredentialSource;
use super::error::RegistryError;
use super::hosts::{Capabilities, Host, HostsError, HostsOptions, authority, hosts, is_loopback};
use super::reference::Reference;

/// How often a request is sent again after a failure that may pass.
const RETRIES: u32 = 4;
/// The first pause between two tries; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that a server may ask for.
const PAUSE_LIMIT: Duration = Duration::from_secs(30);
/// How many redirects are followed.
const REDIRECTS: u32 = 10;
/// How long a connection may take, when the configuration does not say.
const DIAL: Duration = Duration::from_secs(30);
/// How long a server may be silent in the middle of an answer.
const SILENCE: Duration = Duration::from_secs(60);
/// How much of an error's text is read and shown.
const MESSAGE_LIMIT: usize = 2048;

/// A client of one repository at one registry; clones share connections and tokens.
#[derive(Debug, Clone)]
pub(crate) struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    reference: Reference,
    headers: HeaderMap,
    endpoints: Vec<Endpoint>,
}

/// One host and how it is spoken to.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) host: Host,
    pub(super) http: reqwest::Client,
    authorizer: Authorizer,
    /// Set once no connection could be made: the host is passed over from then on.
    away: AtomicBool,
}

/// One request, which can be sent several times.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) scopes: Scopes,
    pub(super) body: &'a (dyn Fn() -> Result<reqwest::Body, RegistryError> + Send + Sync),
}

/// No body.
pub(super) fn no_body() -> Result<reqwest::Body, RegistryError> {
    Ok(Bytes::new().into())
}

impl Registry {
    /// A client for the repository of `reference`, on the hosts that `options` lead to.
    pub(crate) fn open(
        reference: Reference,
        options: &HostsOptions,
        headers: HeaderMap,
        source: &CredentialSource,
    ) -> Result<Self, RegistryError> {
        let endpoint = |host| Endpoint::new(host, source.clone());
        let endpoints =
            hosts(reference.domain(), options)?.into_iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner { reference, headers, endpoints })))
    }

    /// What this client was opened for.
    pub(crate) fn reference(&self) -> &Reference {
        &self.0.reference
    }

    /// Headers that every request carries.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// Runs `attempt` on each host that is `able`, until one succeeds. The last host's failure is the failure.
    pub(super) async fn on_hosts<'a, T>(
        &'a self,
        action: &'static str,
        able: impl Fn(&Capabilities) -> bool + Send + Sync,
        attempt: impl Fn(&'a Endpoint) -> BoxFuture<'a, Result<T, RegistryError>> + Send + Sync,
    ) -> Result<T, RegistryError> {
        let able: Vec<&Endpoint> =
            self.0.endpoints.iter().filter(|endpoint| able(&endpoint.host.capabilities)).collect();
        let here = |endpoint: &&&Endpoint| !endpoint.away.load(Ordering::Relaxed);
        let mut candidates: Vec<&Endpoint> = able.iter().filter(here).copied().collect();
        if candidates.is_empty() {
            candidates = able;
        }
        let mut failure = None;
        for endpoint in candidates {
            match attempt(endpoint).await {
                Ok(value) => return Ok(value),
                Err(error) => {
                    tracing::debug!(host = endpoint.host.authority, error = %error, "a host failed");
                    // What a host says outweighs that another one could not be reached.
                    let silent = matches!(error, RegistryError::Transport { .. });
                    if failure.is_none() || !silent {
                        failure = Some(error);
                    }
                }
            }
        }
        let registry = self.0.reference.domain().to_owned();
        Err(failure.unwrap_or(RegistryError::NoHost { registry, action }))
    }

    /// The address of `path` in this repository at `endpoint`.
    pub(super) fn url(&self, endpoint: &Endpoint, path: &str) -> Result<Url, RegistryError> {
        let reference = &self.0.reference;
        let mut url = endpoint
            .host
            .base
            .join(&format!("{}/{path}", reference.path()))
            .map_err(|_| HostsError::Address(path.to_owned()))?;
        if endpoint.host.mirror {
            url.query_pairs_mut().append_pair("ns", reference.domain());
        }
        Ok(url)
    }

    /// The scope of `actions` on this repository.
    pub(super) fn scopes(&self, actions: &str) -> Scopes {
        Scopes::from([format!("repository:{}:{actions}", self.0.reference.path())])
    }
}

impl Endpoint {
    fn new(host: Host, source: CredentialSource) -> Result<Self, RegistryError> {
        let http = client(&host)?;
        let authorizer = Authorizer::new(host.authority.clone(), host.base.scheme() == "https", source);
        Ok(Self { host, http, authorizer, away: AtomicBool::new(false) })
    }

    /// Sends `call` until it is answered with success; every other answer is an error.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        let mut pause = PAUSE;
        for retry in 0.. {
            let error = match self.send_authorized(call).await {
                Ok(answer) => match success(call, answer).await {
                    Ok(answer) => return Ok(answer),
                    Err((error, wait)) => {
                        pause = wait.map_or(pause, |wait| wait.clamp(pause, PAUSE_LIMIT));
                        error
                    }
                },
                Err(error) => error,
            };
            let unreachable =
                matches!(&error, RegistryError::Transport { source, .. } if source.is_connect());
            if unreachable {
                self.away.store(true, Ordering::Relaxed);
            }
            if unreachable || retry == RETRIES || !error.is_transient() {
                return Err(error);
            }
            tracing::debug!(url = %call.url.path(), error = %error, "try again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_LIMIT);
        }
        unreachable!("the loop ends by returning")
    }

    /// Sends `call` with what the host wants to see, learning it from a first refusal.
    async fn send_authorized(&self, call: &Call<'_>) -> Result<Response, RegistryError> {
        for attempt in 0.. {
            let header = self.authorizer.header(&self.http, &call.scopes).await?;
            let answer = self.send_once(call, header.as_ref()).await?;
            let refused = answer.status() == StatusCode::UNAUTHORIZED;
            if !refused || attempt == 2 || !self.authorizer.learn(&answer, header.as_ref()).await? {
                return Ok(answer);
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Sends `call` and follows redirects. Only the host itself sees our credentials and headers.
    async fn send_once(
        &self,
        call: &Call<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RegistryError> {
        let mut url = call.url.clone();
        for _ in 0..=REDIRECTS {
            let mut request = self.http.request(call.method.clone(), url.clone()).body((call.body)()?);
            if same_origin(&url, &call.url) {
                request = request.headers(self.host.headers.clone()).headers(call.headers.clone());
                if let Some(authorization) = authorization {
                    request = request.header(AUTHORIZATION, authorization.clone());
                }
            } else if let Some(range) = call.headers.get(http::header::RANGE) {
                request = request.header(http::header::RANGE, range.clone());
            }
            let answer = request.send().await.map_err(|source| transport(call, source))?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            url = redirect(call, &url, &answer)?;
        }
        Err(RegistryError::Redirect { from: shown(&call.url), reason: "there are too many" })
    }
}

/// Where a redirect leads, if it may be followed.
fn redirect(call: &Call<'_>, from: &Url, answer: &Response) -> Result<Url, RegistryError> {
    let refuse = |reason| RegistryError::Redirect { from: shown(from), reason };
    if !matches!(call.method, Method::GET | Method::HEAD) {
        return Err(refuse("the request changes something"));
    }
    let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    let to = from
        .join(location.ok_or_else(|| refuse("it has no address"))?)
        .map_err(|_| refuse("its address is none"))?;
    match (from.scheme(), to.scheme()) {
        ("https", "http") => Err(refuse("it gives up encryption")),
        (_, "http" | "https") => Ok(to),
        _ => Err(refuse("it is not http")),
    }
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme() && authority(one) == authority(other)
}

fn client(host: &Host) -> Result<reqwest::Client, RegistryError> {
    // Whoever comes first sets the process's cryptography; all would set the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("dhow/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(host.dial_timeout.unwrap_or(DIAL))
        .read_timeout(SILENCE)
        .tls_danger_accept_invalid_certs(host.tls.skip_verify);
    if is_loopback(&host.authority) {
        builder = builder.no_proxy();
    }
    let wrong = |path: &std::path::Path, error: reqwest::Error| {
        let reason = dhow_proto::error::chain(&error);
        HostsError::Format { path: path.to_owned(), reason }
    };
    let read =
        |path: &std::path::Path| dhow_linux::file::read_limited(path, 1 << 20).map_err(HostsError::Read);
    let mut certificates = Vec::new();
    for path in &host.tls.authorities {
        let bundle = reqwest::Certificate::from_pem_bundle(&read(path)?);
        certificates.extend(bundle.map_err(|error| wrong(path, error))?);
    }
    if !certificates.is_empty() {
        builder = builder.tls_certs_merge(certificates);
    }
    for (certificate, key) in &host.tls.identities {
        let mut pem = read(certificate)?;
        if let Some(key) = key {
            pem.extend(read(key)?);
        }
        let identity = reqwest::Identity::from_pem(&pem).map_err(|error| wrong(certificate, error))?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|source| RegistryError::Transport {
        method: Method::GET,
        url: host.base.to_string(),
        source,
    })
}

/// `answer`, when it is a success; else what it says, and how long it asks to wait.
async fn success(call: &Call<'_>, answer: Response) -> Result<Response, (RegistryError, Option<Duration>)> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let error = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let fallback = if status == StatusCode::FORBIDDEN { "denied" } else { "authorization failed" };
            let message = body_text(answer).await;
            let message = if message.is_empty() { fallback.to_owned() } else { message };
            RegistryError::Denied { action: action(&call.scopes), status, message }
        }
        StatusCode::NOT_FOUND => {
            let message = body_text(answer).await;
            let message = if message.is_empty() { "it is not there".to_owned() } else { message };
            RegistryError::NotFound(format!("{}: {message}", shown(&call.url)))
        }
        _ => {
            let (method, url) = (call.method.clone(), shown(&call.url));
            RegistryError::Status { method, url, status, message: body_text(answer).await }
        }
    };
    Err((error, wait.map(Duration::from_secs)))
}

/// What an error answer says: the messages of the protocol's JSON, or the text as it is.
pub(super) async fn body_text(answer: Response) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(body) = read_limited(answer, 64 << 10).await else { return String::new() };
    if let Ok(Errors { errors }) = serde_json::from_slice(&body) {
        let one = |error: &One| match (error.code.to_ascii_lowercase(), error.message.as_str()) {
            (code, "") => code,
            (code, message) if code.is_empty() => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        return errors.iter().map(one).collect::<Vec<_>>().join("; ");
    }
    let text = String::from_utf8_lossy(&body);
    let plain = !text.trim_start().starts_with('<');
    text.trim().chars().filter(|letter| plain && !letter.is_control()).take(MESSAGE_LIMIT).collect()
}

/// The body of `answer`, at most `limit` bytes.
pub(super) async fn read_limited(mut answer: Response, limit: u64) -> Result<Vec<u8>, RegistryError> {
    let url = shown(answer.url());
    let mut body = Vec::new();
    loop {
        let chunk = answer.chunk().await.map_err(|source| RegistryError::Transport {
            method: Method::GET,
            url: url.clone(),
            source: source.without_url(),
        })?;
        let Some(chunk) = chunk else { return Ok(body) };
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(RegistryError::Protocol { url, what: format!("more than {limit} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
}

fn transport(call: &Call<'_>, source: reqwest::Error) -> RegistryError {
    RegistryError::Transport {
        method: call.method.clone(),
        url: shown(&call.url),
        source: source.without_url(),
    }
}

/// An address for people: queries may hold signatures.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}
