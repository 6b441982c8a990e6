//! Pulling: the supervisor transfers, the daemon tells.

use std::collections::HashMap;

use dhow_engine_api::auth::AuthConfig;
use dhow_engine_api::message::JsonMessage;
use dhow_proto::any;
use dhow_proto::containerd::services::transfer::v1::transfer_client::TransferClient;
use dhow_proto::containerd::services::transfer::v1::{TransferOptions, TransferRequest};
use dhow_proto::containerd::types::Platform as WirePlatform;
use dhow_proto::containerd::types::transfer::{
    ImageStore, OciRegistry, Progress, RegistryResolver, UnpackConfiguration,
};
use dhow_proto::error::Kind;
use ipnet::IpNet;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::document::Platform;
use super::error::ImageError;
use super::progress::Lines;
use super::reference::Reference;
use super::stream::SideStream;
use super::{Images, PULLED, SNAPSHOTTER};

/// How many lines may wait for a slow client.
const WAITING: usize = 256;

/// Lines of a pull; an error before the first line is the request's.
pub(crate) type PullLines = mpsc::Receiver<Result<JsonMessage, ImageError>>;

impl Images {
    /// Pulls an image. Whoever drops the lines ends the pull.
    pub(crate) fn pull(
        &self,
        reference: Reference,
        platform: Option<Platform>,
        auth: AuthConfig,
    ) -> PullLines {
        let (sender, lines) = mpsc::channel(WAITING);
        let images = self.clone();
        tokio::spawn(async move {
            let told = sender.clone();
            tokio::select! {
                result = images.transfer(&reference, platform, auth, &told) => {
                    if let Err(error) = result {
                        drop(told.send(Err(error)).await);
                    }
                }
                () = sender.closed() => tracing::info!(%reference, "pull given up: nobody waits for it"),
            }
        });
        lines
    }

    async fn transfer(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        auth: AuthConfig,
        lines: &mpsc::Sender<Result<JsonMessage, ImageError>>,
    ) -> Result<(), ImageError> {
        let name = reference.canonical();
        let old = self.record(&name).await?;
        if let Some(old) = &old {
            // The transfer makes the name lead elsewhere: what it led to must not be lost for a moment.
            self.keep_for_now(old).await?;
        }
        let mut progress = SideStream::open(&self.0.link, "progress").await?;
        let auth_stream = self.offer(auth).await?;
        let request = self.request(reference, platform, auth_stream, &progress.id);
        let mut client = TransferClient::new(self.0.link.clone());
        let mut transfer = std::pin::pin!(client.transfer(request));
        let mut told = Telling { lines, begun: false, layers: Lines::default(), reference };
        let done = loop {
            tokio::select! {
                done = &mut transfer => break done,
                message = progress.incoming.message() => match message {
                    Ok(Some(message)) => told.progress(&message).await,
                    Ok(None) | Err(_) => break transfer.await,
                },
            }
        };
        done.map_err(|status| explain(reference, &status))?;
        let new = self.record(&name).await?.ok_or_else(|| super::not_found(&name))?;
        let unchanged = old.as_ref().is_some_and(|old| old.target.digest == new.target.digest);
        if let Some(old) = old.filter(|_| unchanged) {
            self.forget_dangling(&old.target.digest).await?;
        }
        self.forget_dangling(&new.target.digest).await?;
        told.begin().await;
        told.say(format!("Digest: {}", new.target.digest)).await;
        let what = if unchanged { "Image is up to date" } else { "Downloaded newer image" };
        told.say(format!("Status: {what} for {reference}")).await;
        Ok(())
    }

    /// Opens a stream that answers questions for credentials, when there are any.
    async fn offer(&self, mut auth: AuthConfig) -> Result<String, ImageError> {
        if auth.username.is_empty() && !auth.auth.is_empty() {
            split_auth(&mut auth);
        }
        if auth.username.is_empty() && auth.identitytoken.is_empty() && auth.registrytoken.is_empty() {
            return Ok(String::new());
        }
        let stream = SideStream::open(&self.0.link, "auth").await?;
        let id = stream.id.clone();
        tokio::spawn(stream.answer_with(auth));
        Ok(id)
    }

    fn request(
        &self,
        reference: &Reference,
        platform: Option<Platform>,
        auth_stream: String,
        progress_stream: &str,
    ) -> TransferRequest {
        let platform = platform.unwrap_or_else(Platform::host);
        let platform = WirePlatform {
            os: platform.os,
            architecture: platform.architecture,
            variant: platform.variant,
            ..WirePlatform::default()
        };
        let plain = is_insecure(reference.domain(), &self.0.insecure);
        let source = OciRegistry {
            reference: reference.canonical(),
            resolver: Some(RegistryResolver {
                auth_stream,
                default_scheme: if plain { "http".to_owned() } else { String::new() },
                ..RegistryResolver::default()
            }),
        };
        let destination = ImageStore {
            name: reference.canonical(),
            labels: HashMap::from([(PULLED.to_owned(), "true".to_owned())]),
            platforms: vec![platform.clone()],
            unpacks: vec![UnpackConfiguration {
                platform: Some(platform),
                snapshotter: SNAPSHOTTER.to_owned(),
            }],
            ..ImageStore::default()
        };
        TransferRequest {
            source: Some(any::pack(&source)),
            destination: Some(any::pack(&destination)),
            options: Some(TransferOptions { progress_stream: progress_stream.to_owned() }),
        }
    }
}

/// Where lines go, and whether the first was said.
struct Telling<'a> {
    lines: &'a mpsc::Sender<Result<JsonMessage, ImageError>>,
    begun: bool,
    layers: Lines,
    reference: &'a Reference,
}

impl Telling<'_> {
    /// The first line: the registry has the image.
    async fn begin(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            let id = self.reference.digest().or_else(|| self.reference.tag()).unwrap_or_default().to_owned();
            let status = format!("Pulling from {}", self.reference.repository().path());
            drop(self.lines.send(Ok(JsonMessage { id, ..JsonMessage::status(status) })).await);
        }
    }

    async fn say(&self, text: String) {
        drop(self.lines.send(Ok(JsonMessage::status(text))).await);
    }

    async fn progress(&mut self, message: &prost_types::Any) {
        let Some(Ok(progress)) = any::unpack::<Progress>(message) else { return };
        for line in self.layers.of(&progress) {
            self.begin().await;
            drop(self.lines.send(Ok(line)).await);
        }
    }
}

/// Fills user and password from `auth`, the form that configuration files have.
fn split_auth(auth: &mut AuthConfig) {
    use base64::Engine;
    let decoded = base64::engine::general_purpose::STANDARD.decode(&auth.auth).unwrap_or_default();
    if let Some((username, password)) = String::from_utf8_lossy(&decoded).split_once(':') {
        username.clone_into(&mut auth.username);
        password.clone_into(&mut auth.password);
    }
}

/// Whether a registry is reached without TLS: the loopback always is, as with Docker.
fn is_insecure(domain: &str, insecure: &[String]) -> bool {
    let host = match domain.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => domain,
    };
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    insecure.iter().any(|allowed| {
        let net = allowed.parse::<IpNet>();
        allowed == domain
            || allowed == host
            || net.is_ok_and(|net| address.is_some_and(|address| net.contains(&address)))
    })
}

/// The supervisor's refusal in the words that Docker's clients know.
fn explain(reference: &Reference, status: &Status) -> ImageError {
    let (kind, message) = match status.code() {
        Code::NotFound => (
            Kind::NotFound,
            format!("manifest for {reference} not found: manifest unknown: manifest unknown"),
        ),
        Code::Unauthenticated | Code::PermissionDenied => (
            Kind::NotFound,
            format!(
                "pull access denied for {}, repository does not exist or may require 'docker login': denied: \
                 requested access to the resource is denied",
                reference.familiar_name()
            ),
        ),
        // Whatever else a registry does is no fault of the request.
        code => (Kind::from(code), status.message().to_owned()),
    };
    ImageError::Pull { kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_and_what_is_named_need_no_tls() {
        let named = ["10.0.0.0/8".to_owned(), "registry.lan:5000".to_owned()];
        for (domain, plain) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("10.1.2.3:5000", true),
            ("registry.lan:5000", true),
            ("registry.lan", false),
            ("docker.io", false),
        ] {
            assert_eq!(is_insecure(domain, &named), plain, "{domain}");
        }
    }

    #[test]
    fn the_old_form_of_credentials_is_split() {
        let mut auth = AuthConfig { auth: "dXNlcjpwOmFzcw==".into(), ..AuthConfig::default() };
        split_auth(&mut auth);
        assert_eq!((auth.username.as_str(), auth.password.as_str()), ("user", "p:ass"));
    }
}
