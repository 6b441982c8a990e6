//! Reading from a registry: what a tag stands for, manifests, and blobs as streams that survive broken connections.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Response;

use super::client::{Call, Endpoint, Registry, no_body, read_limited, shown};
use super::error::RegistryError;
use crate::content::{Digest, Digester};
use crate::image::manifest::{ACCEPTED, MANIFEST_LIMIT};

/// How often the stream of a blob is opened again without a byte in between.
const REOPENS: u32 = 5;
/// The first pause before that; it doubles.
const PAUSE: Duration = Duration::from_millis(250);
/// The header that names the digest of a manifest.
const DIGEST: &str = "docker-content-digest";

/// What a reference stands for at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The type of the manifest or index.
    pub(crate) media_type: String,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) size: u64,
    /// Its bytes, when the registry had to be asked for them.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Registry {
    /// Asks what the reference stands for.
    pub(crate) async fn resolve(&self) -> Result<Resolved, RegistryError> {
        let object = self.reference().object();
        let by_tag = self.reference().digest().is_none();
        let resolved = self
            .on_hosts(
                "resolve",
                |able| if by_tag { able.resolve } else { able.pull },
                |endpoint| self.resolve_at(endpoint, object).boxed(),
            )
            .await
            .map_err(|error| match error {
                RegistryError::NotFound(_) => RegistryError::NotFound(self.reference().to_string()),
                other => other,
            })?;
        match self.reference().digest() {
            Some(wanted) if wanted != resolved.digest.as_str() => Err(RegistryError::Protocol {
                url: self.reference().to_string(),
                what: format!("the digest {}", resolved.digest),
            }),
            _ => Ok(resolved),
        }
    }

    /// A HEAD is enough when all is well, and registries that count pulls do not count it.
    async fn resolve_at(&self, endpoint: &Endpoint, object: &str) -> Result<Resolved, RegistryError> {
        match self.manifest_call(endpoint, Method::HEAD, object).await {
            Ok(answer) => match described(&answer) {
                Some(resolved) => Ok(resolved),
                None => self.resolve_by_reading(endpoint, object).await,
            },
            Err(RegistryError::Status { status, .. }) if matches!(status.as_u16(), 400 | 405 | 501) => {
                self.resolve_by_reading(endpoint, object).await
            }
            Err(error) => Err(error),
        }
    }

    async fn resolve_by_reading(&self, endpoint: &Endpoint, object: &str) -> Result<Resolved, RegistryError> {
        let answer = self.manifest_call(endpoint, Method::GET, object).await?;
        let media_type = header(&answer, CONTENT_TYPE.as_str()).unwrap_or_default();
        let bytes = read_limited(answer, MANIFEST_LIMIT).await?;
        Ok(Resolved { media_type, digest: Digest::of(&bytes), size: bytes.len() as u64, bytes: Some(bytes) })
    }

    /// The manifest or index named `digest`; its bytes are what the digest says.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        self.on_hosts("pull", |able| able.pull, |endpoint| self.manifest_at(endpoint, digest).boxed()).await
    }

    async fn manifest_at(&self, endpoint: &Endpoint, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let answer = self.manifest_call(endpoint, Method::GET, digest.as_str()).await?;
        let url = shown(answer.url());
        let bytes = read_limited(answer, MANIFEST_LIMIT).await?;
        let mut digester = Digester::new(digest.algorithm());
        digester.update(&bytes);
        match digester.digest() {
            actual if actual == *digest => Ok(bytes),
            actual => Err(RegistryError::Protocol { url, what: format!("content of the digest {actual}") }),
        }
    }

    async fn manifest_call(
        &self,
        endpoint: &Endpoint,
        method: Method,
        object: &str,
    ) -> Result<Response, RegistryError> {
        let mut headers = self.headers().clone();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let url = self.url(endpoint, &format!("manifests/{object}"))?;
        endpoint.send(&Call { method, url, headers, scopes: self.scopes("pull"), body: &no_body }).await
    }

    async fn blob_at(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
        offset: u64,
    ) -> Result<Response, RegistryError> {
        let mut headers: HeaderMap = self.headers().clone();
        if offset > 0 {
            let range = HeaderValue::try_from(format!("bytes={offset}-"));
            headers.insert(RANGE, range.unwrap_or_else(|_| HeaderValue::from_static("bytes=0-")));
        }
        let url = self.url(endpoint, &format!("blobs/{digest}"))?;
        let (method, scopes) = (Method::GET, self.scopes("pull"));
        endpoint.send(&Call { method, url, headers, scopes, body: &no_body }).await
    }

    /// The blob named `digest`, from byte `offset` on.
    pub(crate) fn blob(&self, digest: &Digest, size: u64, offset: u64) -> Blob {
        Blob {
            registry: self.clone(),
            digest: digest.clone(),
            size,
            offset,
            skip: 0,
            answer: None,
            failures: 0,
        }
    }
}

/// What the headers of a manifest's answer say, when they say enough.
fn described(answer: &Response) -> Option<Resolved> {
    let digest = header(answer, DIGEST)?.parse().ok()?;
    let size = header(answer, CONTENT_LENGTH.as_str())?.parse().ok().filter(|size| *size > 0)?;
    let media_type = header(answer, CONTENT_TYPE.as_str())?;
    Some(Resolved { media_type, digest, size, bytes: None })
}

fn header(answer: &Response, name: &str) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// A blob on its way. A connection that breaks is opened again where it broke.
#[derive(Debug)]
pub(crate) struct Blob {
    registry: Registry,
    digest: Digest,
    size: u64,
    offset: u64,
    /// Bytes in front of `offset` that a server without ranges sends again.
    skip: u64,
    answer: Option<Response>,
    failures: u32,
}

impl Blob {
    /// The next bytes; `None` once all have come.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        while self.offset < self.size || self.answer.is_some() {
            let Err(error) = self.step().await else { continue };
            match error {
                Step::Chunk(chunk) => return Ok(Some(chunk)),
                Step::End => return Ok(None),
                Step::Failed(error) => {
                    self.answer = None;
                    self.failures += 1;
                    if self.failures > REOPENS || !error.is_transient() {
                        return Err(error);
                    }
                    tracing::debug!(digest = %self.digest, offset = self.offset, error = %error, "resume a blob");
                    tokio::time::sleep(PAUSE * (1 << self.failures)).await;
                }
            }
        }
        Ok(None)
    }

    async fn step(&mut self) -> Result<(), Step> {
        let Some(answer) = &mut self.answer else {
            self.answer = Some(self.open().await.map_err(Step::Failed)?);
            return Ok(());
        };
        let url = shown(answer.url());
        let chunk = answer.chunk().await.map_err(|source| {
            let (method, url) = (Method::GET, url.clone());
            Step::Failed(RegistryError::Transport { method, url, source: source.without_url() })
        })?;
        let Some(mut chunk) = chunk else {
            self.answer = None;
            if self.offset == self.size {
                return Err(Step::End);
            }
            self.failures += 1;
            let short = RegistryError::Short { url, received: self.offset, size: self.size };
            return if self.failures > REOPENS { Err(Step::Failed(short)) } else { Ok(()) };
        };
        let skipped = self.skip.min(chunk.len() as u64);
        self.skip -= skipped;
        chunk = chunk.slice(usize::try_from(skipped).unwrap_or_default()..);
        self.offset += chunk.len() as u64;
        if self.offset > self.size {
            let what = format!("more than the {} bytes of the descriptor", self.size);
            return Err(Step::Failed(RegistryError::Protocol { url, what }));
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.failures = 0;
        Err(Step::Chunk(chunk))
    }

    async fn open(&mut self) -> Result<Response, RegistryError> {
        let offset = self.offset;
        let registry = &self.registry;
        let digest = &self.digest;
        let answer = registry
            .on_hosts("pull", |able| able.pull, |endpoint| registry.blob_at(endpoint, digest, offset).boxed())
            .await?;
        self.skip = match answer.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&answer) != Some(offset) => {
                let what = "another range than was asked for".to_owned();
                return Err(RegistryError::Protocol { url: shown(answer.url()), what });
            }
            StatusCode::PARTIAL_CONTENT => 0,
            _ => offset,
        };
        Ok(answer)
    }
}

/// Where the range of a partial answer starts: `bytes START-END/TOTAL`.
fn starts_at(answer: &Response) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// How one step of a stream ended, when it is not simply time for the next.
enum Step {
    Chunk(Bytes),
    End,
    Failed(RegistryError),
}
