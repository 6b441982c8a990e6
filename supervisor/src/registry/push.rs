//! Writing to a registry: blobs that it does not have, then manifests that name them.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{FutureExt as _, StreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use reqwest::Url;
use tokio_util::io::ReaderStream;

use super::auth::Scopes;
use super::client::{Call, Endpoint, Registry, no_body, shown};
use super::error::RegistryError;
use crate::content::Digest;

/// The size of the pieces that a blob is read in.
const PIECE: usize = 128 << 10;

/// A blob to be sent.
#[derive(Clone)]
pub(crate) struct Source {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its length.
    pub(crate) size: u64,
    /// Another repository at the same registry that has it.
    pub(crate) mount_from: Option<String>,
    /// Told how many bytes more are on their way.
    pub(crate) sent: Arc<dyn Fn(u64) + Send + Sync>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Source")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Sends a blob; `false` when the registry had it already, or could take it from another repository.
    pub(crate) async fn push_blob(&self, source: &Source) -> Result<bool, RegistryError> {
        self.on_hosts("push", |able| able.push, |endpoint| self.push_blob_at(endpoint, source).boxed()).await
    }

    async fn push_blob_at(&self, endpoint: &Endpoint, source: &Source) -> Result<bool, RegistryError> {
        if self.exists(endpoint, &format!("blobs/{}", source.digest)).await? {
            return Ok(false);
        }
        let Some(location) = self.begin_upload(endpoint, source).await? else { return Ok(false) };
        self.upload(endpoint, location, source).await?;
        Ok(true)
    }

    /// Puts a manifest under `object`, a tag or its digest; `false` when the registry had it already.
    pub(crate) async fn push_manifest(
        &self,
        object: &str,
        digest: &Digest,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<bool, RegistryError> {
        let put = |endpoint| self.push_manifest_at(endpoint, object, digest, media_type, bytes).boxed();
        self.on_hosts("push", |able| able.push, put).await
    }

    async fn push_manifest_at(
        &self,
        endpoint: &Endpoint,
        object: &str,
        digest: &Digest,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<bool, RegistryError> {
        if object == digest.as_str() && self.exists(endpoint, &format!("manifests/{digest}")).await? {
            return Ok(false);
        }
        let mut headers = self.headers().clone();
        let media_type = HeaderValue::from_str(media_type).map_err(|_| RegistryError::Protocol {
            url: digest.to_string(),
            what: "a media type that no header can hold".to_owned(),
        })?;
        headers.insert(CONTENT_TYPE, media_type);
        let url = self.url(endpoint, &format!("manifests/{object}"))?;
        let body = || Ok(bytes.to_vec().into());
        let scopes = self.scopes("pull,push");
        endpoint.send(&Call { method: Method::PUT, url, headers, scopes, body: &body }).await?;
        Ok(true)
    }

    async fn exists(&self, endpoint: &Endpoint, path: &str) -> Result<bool, RegistryError> {
        let mut headers = self.headers().clone();
        let accepted = HeaderValue::from_static(crate::image::manifest::ACCEPTED);
        headers.insert(http::header::ACCEPT, accepted);
        let call = Call {
            method: Method::HEAD,
            url: self.url(endpoint, path)?,
            headers,
            scopes: self.scopes("pull,push"),
            body: &no_body,
        };
        match endpoint.send(&call).await {
            Ok(_) => Ok(true),
            Err(RegistryError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks for a place to send a blob to; `None` when the registry took it from another repository.
    async fn begin_upload(&self, endpoint: &Endpoint, source: &Source) -> Result<Option<Url>, RegistryError> {
        let mut url = self.url(endpoint, "blobs/uploads/")?;
        let mut scopes = self.scopes("pull,push");
        if let Some(from) = &source.mount_from {
            url.query_pairs_mut().append_pair("mount", source.digest.as_str()).append_pair("from", from);
            scopes.insert(format!("repository:{from}:pull"));
        }
        let headers = self.headers().clone();
        let call = Call { method: Method::POST, url, headers, scopes, body: &no_body };
        let answer = match endpoint.send(&call).await {
            // Some registries refuse a mount that they may not make, instead of going on without it.
            Err(RegistryError::Denied { .. }) if source.mount_from.is_some() => {
                let url = self.url(endpoint, "blobs/uploads/")?;
                let (scopes, headers) = (self.scopes("pull,push"), self.headers().clone());
                endpoint.send(&Call { method: Method::POST, url, headers, scopes, body: &no_body }).await?
            }
            other => other?,
        };
        if answer.status() == StatusCode::CREATED {
            return Ok(None);
        }
        let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let location = location.and_then(|location| answer.url().join(location).ok());
        location.map(Some).ok_or_else(|| RegistryError::Protocol {
            url: shown(answer.url()),
            what: "no place to upload to".to_owned(),
        })
    }

    async fn upload(&self, endpoint: &Endpoint, mut url: Url, source: &Source) -> Result<(), RegistryError> {
        url.query_pairs_mut().append_pair("digest", source.digest.as_str());
        let mut headers = self.headers().clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(source.size));
        let body = || {
            let failed =
                |error| RegistryError::Upload { path: source.path.display().to_string(), source: error };
            let file = tokio::fs::File::from_std(std::fs::File::open(&source.path).map_err(failed)?);
            let sent = Arc::clone(&source.sent);
            let pieces = ReaderStream::with_capacity(file, PIECE)
                .inspect(move |piece| sent(piece.as_ref().map_or(0, |piece| piece.len() as u64)));
            Ok(reqwest::Body::wrap_stream(pieces))
        };
        let scopes: Scopes = self.scopes("pull,push");
        endpoint.send(&Call { method: Method::PUT, url, headers, scopes, body: &body }).await?;
        Ok(())
    }
}
