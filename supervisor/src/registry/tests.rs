//! The client against small servers of our own: what they see, and what the client makes of their answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::fetch::Blob;
use super::*;
use crate::content::Digest;

/// A request as a server saw it.
#[derive(Debug, Clone, Default)]
struct Seen {
    method: String,
    target: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer; `cut` bytes of the body are sent when it is given, then the connection breaks.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { status, headers, body: body.into(), cut: None }
}

/// A server on loopback that answers with `respond`.
struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(respond: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address").to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, respond) = (Arc::clone(&seen), Arc::new(respond));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, respond) = (Arc::clone(&log), Arc::clone(&respond));
                tokio::spawn(async move {
                    while let Some(()) = exchange(&stream, &log, &*respond).await.ok().flatten() {}
                });
            }
        });
        Self { address, seen, task }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn exchange(
    stream: &TcpStream,
    log: &Mutex<Vec<Seen>>,
    respond: &(dyn Fn(&Seen) -> Answer + Send + Sync),
) -> std::io::Result<Option<()>> {
    let mut stream = BufReader::new(Socket(stream));
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut seen = Seen {
        method: words.next().unwrap_or_default().to_owned(),
        target: words.next().unwrap_or_default().to_owned(),
        ..Seen::default()
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        seen.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    seen.body.resize(length, 0);
    stream.read_exact(&mut seen.body).await?;
    let answer = respond(&seen);
    let head = seen.method == "HEAD";
    log.lock().expect("no panic").push(seen);
    let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let socket = stream.get_mut();
    socket.write_all(format!("{text}\r\n").as_bytes()).await?;
    let body = &answer.body[..answer.cut.unwrap_or(answer.body.len())];
    if !head {
        socket.write_all(body).await?;
    }
    Ok(answer.cut.is_none().then_some(()))
}

/// A shared stream that can be read and written.
struct Socket<'a>(&'a TcpStream);

impl tokio::io::AsyncRead for Socket<'_> {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::ready!(self.0.poll_read_ready(context))?;
        let mut bytes = vec![0; buffer.remaining()];
        match self.0.try_read(&mut bytes) {
            Ok(count) => {
                buffer.put_slice(&bytes[..count]);
                std::task::Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            Err(error) => std::task::Poll::Ready(Err(error)),
        }
    }
}

impl tokio::io::AsyncWrite for Socket<'_> {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::ready!(self.0.poll_write_ready(context))?;
        match self.0.try_write(bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            other => std::task::Poll::Ready(other),
        }
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

fn plain() -> HostsOptions {
    HostsOptions { directory: None, default_scheme: Some("http".to_owned()) }
}

fn source(credentials: Credentials) -> CredentialSource {
    CredentialSource::new(move |_, _| Box::pin(std::future::ready(Ok(credentials.clone()))))
}

fn password() -> Credentials {
    Credentials::Password { user: "me".to_owned(), secret: "pass".to_owned() }
}

fn open(address: &str, credentials: Credentials) -> Registry {
    let reference = format!("{address}/a/b:tag").parse().expect("a reference");
    Registry::open(reference, &plain(), HeaderMap::new(), &source(credentials)).expect("open")
}

const MANIFEST: &[u8] = b"{}";
const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

fn manifest() -> Answer {
    let digest = Digest::of(MANIFEST).to_string();
    answer(200, &[("content-type", TYPE), ("docker-content-digest", &digest)], MANIFEST)
}

#[tokio::test]
async fn a_tag_is_resolved_with_one_request() {
    let server = Server::start(|_| manifest()).await;
    let resolved = open(&server.address, Credentials::None).resolve().await.expect("resolve");
    assert_eq!((resolved.media_type.as_str(), resolved.size), (TYPE, 2));
    assert_eq!(resolved.digest, Digest::of(MANIFEST));
    let seen = server.seen();
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("HEAD", "/v2/a/b/manifests/tag"));
    assert!(seen[0].header("accept").is_some_and(|accept| accept.contains("index")));
}

#[tokio::test]
async fn a_registry_without_head_is_read() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "HEAD" => answer(405, &[], ""),
        _ => answer(200, &[("content-type", TYPE)], MANIFEST),
    })
    .await;
    let resolved = open(&server.address, Credentials::None).resolve().await.expect("resolve");
    assert_eq!(resolved.bytes.as_deref(), Some(MANIFEST));
    assert_eq!(resolved.digest, Digest::of(MANIFEST));
}

#[tokio::test]
async fn other_content_than_the_digest_says_is_refused() {
    let server = Server::start(|_| answer(200, &[], "other")).await;
    let error =
        open(&server.address, Credentials::None).manifest(&Digest::of(MANIFEST)).await.expect_err("wrong");
    assert!(matches!(error, RegistryError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn a_password_is_sent_once_it_is_asked_for() {
    let server = Server::start(|seen| match seen.header("authorization") {
        Some("Basic bWU6cGFzcw==") => manifest(),
        _ => answer(401, &[("www-authenticate", "Basic realm=\"r\"")], ""),
    })
    .await;
    let registry = open(&server.address, password());
    registry.resolve().await.expect("resolve");
    registry.resolve().await.expect("resolve");
    let with: Vec<bool> = server.seen().iter().map(|seen| seen.header("authorization").is_some()).collect();
    assert_eq!(with, [false, true, true]);
    let error = open(&server.address, Credentials::None).resolve().await.expect_err("anonymous");
    assert!(error.to_string().starts_with("pull access denied"), "{error}");
}

/// A registry that wants tokens, and its token server in one; `check` says what the latter makes of a request.
async fn token_server(check: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Server {
    Server::start(move |seen| {
        if seen.target.starts_with("/token") {
            return check(seen);
        }
        match seen.header("authorization") {
            Some("Bearer good") => manifest(),
            _ => {
                let host = seen.header("host").unwrap_or_default();
                let challenge = format!(
                    "Bearer realm=\"http://{host}/token\",service=\"reg\",scope=\"repository:a/b:pull\""
                );
                answer(401, &[("www-authenticate", &challenge)], "")
            }
        }
    })
    .await
}

fn token(expires_in: u64) -> Answer {
    answer(200, &[], format!(r#"{{"token":"good","expires_in":{expires_in}}}"#))
}

fn tokens(server: &Server) -> Vec<Seen> {
    server.seen().into_iter().filter(|seen| seen.target.starts_with("/token")).collect()
}

#[tokio::test]
async fn an_anonymous_token_is_fetched_once_and_kept() {
    let server = token_server(|_| token(300)).await;
    let registry = open(&server.address, Credentials::None);
    let (one, two) = tokio::join!(registry.resolve(), registry.resolve());
    one.expect("resolve");
    two.expect("resolve");
    registry.resolve().await.expect("resolve");
    let tokens = tokens(&server);
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    assert!(tokens[0].target.contains("service=reg"), "{tokens:?}");
    assert!(tokens[0].target.contains("scope=repository%3Aa%2Fb%3Apull"), "{tokens:?}");
    assert_eq!(tokens[0].header("authorization"), None);
}

#[tokio::test]
async fn a_password_gets_a_token() {
    let server = token_server(|seen| match seen.header("authorization") {
        Some("Basic bWU6cGFzcw==") => token(300),
        _ => answer(401, &[], r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#),
    })
    .await;
    open(&server.address, password()).resolve().await.expect("resolve");
    let error = open(&server.address, Credentials::None).resolve().await.expect_err("anonymous");
    assert!(error.to_string().contains("unauthorized: who are you"), "{error}");
    assert_eq!(crate::fault::Fault::kind(&error), dhow_proto::error::Kind::Unauthenticated);
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let server = token_server(|seen| {
        let body = String::from_utf8_lossy(&seen.body).into_owned();
        let right = seen.method == "POST"
            && body.contains("grant_type=refresh_token")
            && body.contains("refresh_token=id%2Btoken")
            && body.contains("scope=repository%3Aa%2Fb%3Apull");
        if right { answer(200, &[], r#"{"access_token":"good"}"#) } else { answer(400, &[], body) }
    })
    .await;
    open(&server.address, Credentials::Refresh("id+token".to_owned())).resolve().await.expect("resolve");
}

#[tokio::test]
async fn a_token_that_went_stale_is_fetched_again() {
    let count = Arc::new(Mutex::new(0));
    let issued = Arc::clone(&count);
    let server = token_server(move |_| {
        let mut count = issued.lock().expect("no panic");
        *count += 1;
        if *count == 1 { answer(200, &[], r#"{"token":"stale"}"#) } else { token(300) }
    })
    .await;
    open(&server.address, Credentials::None).resolve().await.expect("resolve");
    assert_eq!(*count.lock().expect("no panic"), 2);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let other = Server::start(|_| answer(200, &[], "blob")).await;
    let elsewhere = format!("http://{}/signed?key=1", other.address);
    let server = Server::start(move |seen| match seen.header("authorization") {
        Some(_) => answer(307, &[("location", &elsewhere)], ""),
        None => answer(401, &[("www-authenticate", "Basic realm=r")], ""),
    })
    .await;
    let registry = open(&server.address, password());
    let mut blob = registry.blob(&Digest::of(b"blob"), 4, 0);
    assert_eq!(blob.chunk().await.expect("chunk").as_deref(), Some(&b"blob"[..]));
    assert_eq!(blob.chunk().await.expect("end"), None);
    let seen = other.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start(|_| answer(302, &[("location", "/again")], "")).await;
    let error = open(&server.address, Credentials::None).resolve().await.expect_err("endless");
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
    let server = Server::start(|_| answer(302, &[("location", "file:///etc/passwd")], "")).await;
    let error = open(&server.address, Credentials::None).resolve().await.expect_err("not http");
    assert!(matches!(error, RegistryError::Redirect { .. }), "{error}");
}

async fn read(blob: &mut Blob) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = blob.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_broken_connection_is_resumed_where_it_broke() {
    let server = Server::start(|seen| match seen.header("range") {
        None => Answer { cut: Some(4), ..answer(200, &[], "0123456789") },
        Some("bytes=4-") => answer(206, &[("content-range", "bytes 4-9/10")], "456789"),
        Some(_) => answer(416, &[], ""),
    })
    .await;
    let registry = open(&server.address, Credentials::None);
    let bytes = read(&mut registry.blob(&Digest::of(b""), 10, 0)).await.expect("read");
    assert_eq!(bytes, b"0123456789");
    let rest = read(&mut registry.blob(&Digest::of(b""), 10, 4)).await.expect("read");
    assert_eq!(rest, b"456789", "from an earlier attempt");
    assert_eq!(read(&mut registry.blob(&Digest::of(b""), 10, 10)).await.expect("nothing is left"), b"");
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start() {
    let server = Server::start(|_| answer(200, &[], "0123456789")).await;
    let registry = open(&server.address, Credentials::None);
    assert_eq!(read(&mut registry.blob(&Digest::of(b""), 10, 7)).await.expect("read"), b"789");
}

#[tokio::test]
async fn blobs_of_another_length_are_refused() {
    let server = Server::start(|_| answer(200, &[], "0123456789")).await;
    let registry = open(&server.address, Credentials::None);
    let error = read(&mut registry.blob(&Digest::of(b""), 5, 0)).await.expect_err("too long");
    assert!(matches!(error, RegistryError::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_there_is_not_tried_again() {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let server = Server::start(move |_| answer(404, &[], body)).await;
    let registry = open(&server.address, Credentials::None);
    let error = registry.resolve().await.expect_err("not there");
    assert_eq!(error.to_string(), format!("{}/a/b:tag", server.address));
    assert_eq!(crate::fault::Fault::kind(&error), dhow_proto::error::Kind::NotFound);
    let error = registry.manifest(&Digest::of(b"x")).await.expect_err("not there");
    assert!(error.to_string().ends_with("manifest_unknown: manifest unknown"), "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let count = Arc::new(Mutex::new(0));
    let tries = Arc::clone(&count);
    let server = Server::start(move |_| {
        let mut tries = tries.lock().expect("no panic");
        *tries += 1;
        if *tries < 3 { answer(503, &[], "busy") } else { manifest() }
    })
    .await;
    open(&server.address, Credentials::None).resolve().await.expect("resolve");
    assert_eq!(*count.lock().expect("no panic"), 3);
}

#[tokio::test]
async fn mirrors_are_asked_first_and_the_registry_when_they_fail() {
    let mirror = Server::start(|_| answer(404, &[], "")).await;
    let registry = Server::start(|_| manifest()).await;
    let root = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir(root.path().join("_default")).expect("make");
    let text = format!(
        "server = \"http://{}\"\n[host.\"http://127.0.0.1:1\"]\n[host.\"http://{}\"]",
        registry.address, mirror.address
    );
    std::fs::write(root.path().join("_default/hosts.toml"), text).expect("write");
    let options = HostsOptions { directory: Some(root.path().to_owned()), default_scheme: None };
    let reference = "r.example/a/b:tag".parse().expect("a reference");
    let client =
        Registry::open(reference, &options, HeaderMap::new(), &CredentialSource::anonymous()).expect("open");
    client.resolve().await.expect("resolve");
    assert_eq!(mirror.seen()[0].target, "/v2/a/b/manifests/tag?ns=r.example");
    assert_eq!(registry.seen()[0].target, "/v2/a/b/manifests/tag");
}

#[tokio::test]
async fn loopback_falls_back_to_plain_http() {
    let server = Server::start(|_| manifest()).await;
    let reference = format!("{}/a/b:tag", server.address).parse().expect("a reference");
    let client =
        Registry::open(reference, &HostsOptions::default(), HeaderMap::new(), &CredentialSource::anonymous())
            .expect("open");
    client.resolve().await.expect("resolve");
}

#[tokio::test]
async fn a_push_sends_what_is_missing() {
    let server = Server::start(|seen| match (seen.method.as_str(), seen.target.as_str()) {
        ("HEAD", _) => answer(404, &[], ""),
        ("POST", "/v2/a/b/blobs/uploads/") => answer(202, &[("location", "/upload/1?state=x")], ""),
        ("POST", _) => answer(201, &[], ""),
        ("PUT", _) => answer(201, &[], ""),
        _ => answer(500, &[], ""),
    })
    .await;
    let registry = open(&server.address, Credentials::None);
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("blob");
    std::fs::write(&path, "content").expect("write");
    let sent = Arc::new(Mutex::new(0));
    let count = Arc::clone(&sent);
    let source = Source {
        path,
        digest: Digest::of(b"content"),
        size: 7,
        mount_from: None,
        sent: Arc::new(move |more| *count.lock().expect("no panic") += more),
    };
    assert!(registry.push_blob(&source).await.expect("push"));
    assert_eq!(*sent.lock().expect("no panic"), 7);
    let put = server.seen().into_iter().find(|seen| seen.method == "PUT").expect("an upload");
    assert_eq!(put.body, b"content");
    assert!(put.target.starts_with("/upload/1?state=x&digest=sha256%3A"), "{}", put.target);
    assert_eq!(put.header("content-length"), Some("7"));
    let mount = Source { mount_from: Some("other/repo".to_owned()), ..source };
    assert!(!registry.push_blob(&mount).await.expect("mount"));
    assert!(registry.push_manifest("tag", &Digest::of(MANIFEST), TYPE, MANIFEST).await.expect("push"));
}
