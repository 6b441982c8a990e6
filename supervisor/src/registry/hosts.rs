//! Which hosts serve a registry: the registry itself, and mirrors in front of it from a `hosts.toml`.
//!
//! ```text
//! <dir>/HOST_PORT_/hosts.toml     for host:port; also HOST:PORT, HOST, and _default
//!     server = "https://registry.example"          the registry itself; tried last
//!     [host."https://mirror.example"]              tried in the order of the file
//!     capabilities = ["pull", "resolve", "push"]
//!     ca = "mirror.crt"   client = [["cert", "key"]]   skip_verify = false
//!     override_path = false   dial_timeout = "10s"
//!     [host."…".header]   x-name = "value"
//! ```
//! Without the file, certificates laid out as Docker does (`*.crt`, `*.cert` with `*.key`) are taken.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_linux::file::{PathError, read_limited};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use serde::Deserialize;

/// The longest configuration file.
const LIMIT: u64 = 1 << 20;

/// Why the hosts of a registry are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostsError {
    /// A file cannot be read.
    #[error("read registry configuration")]
    Read(#[from] PathError),
    /// A file is not what it should be.
    #[error("registry configuration {path} is wrong: {reason}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The address of a host is none.
    #[error("{0:?} is not the address of a registry")]
    Address(String),
}

/// How a request wants hosts to be found.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostsOptions {
    /// Where configurations are.
    pub(crate) directory: Option<PathBuf>,
    /// The scheme of the registry itself, when nothing else says it.
    pub(crate) default_scheme: Option<String>,
}

/// What a host may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capabilities {
    /// Blobs, and manifests by digest.
    pub(super) pull: bool,
    /// Manifests by tag.
    pub(super) resolve: bool,
    /// Uploads.
    pub(super) push: bool,
}

impl Capabilities {
    const ALL: Self = Self { pull: true, resolve: true, push: true };
}

/// One host.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// `https://host/v2/`, to which paths are appended.
    pub(super) base: Url,
    /// `host[:port]`, for which credentials are asked.
    pub(super) authority: String,
    pub(super) capabilities: Capabilities,
    pub(super) headers: HeaderMap,
    pub(super) tls: Tls,
    pub(super) dial_timeout: Option<Duration>,
    /// Whether this is a mirror, which is told whose content is wanted.
    pub(super) mirror: bool,
}

/// How a host's certificate is checked, and with what we show ourselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) authorities: Vec<PathBuf>,
    /// Certificates with their keys, which may be in the same file.
    pub(super) identities: Vec<(PathBuf, Option<PathBuf>)>,
    pub(super) skip_verify: bool,
}

/// The hosts of `registry`, to be tried in order.
pub(super) fn hosts(registry: &str, options: &HostsOptions) -> Result<Vec<Host>, HostsError> {
    let Some(folder) = options.directory.as_deref().and_then(|root| folder(root, registry)) else {
        return origin(registry, options, &Tls::default());
    };
    let path = folder.join("hosts.toml");
    match read_limited(&path, LIMIT) {
        Ok(text) => configured(registry, options, &folder, &text)
            .map_err(|reason| HostsError::Format { path, reason })?,
        Err(error) if error.is_not_found() => origin(registry, options, &docker_certificates(&folder)?),
        Err(error) => Err(error.into()),
    }
}

fn folder(root: &Path, registry: &str) -> Option<PathBuf> {
    let mut names = Vec::new();
    if let Some((host, port)) = registry.rsplit_once(':') {
        names.extend([format!("{host}_{port}_"), registry.to_owned(), host.to_owned()]);
    } else {
        names.push(registry.to_owned());
    }
    names.push("_default".to_owned());
    names.into_iter().map(|name| root.join(name)).find(|folder| folder.is_dir())
}

/// The registry itself. One on this machine may speak plain http: it is tried with TLS first, then without.
fn origin(registry: &str, options: &HostsOptions, tls: &Tls) -> Result<Vec<Host>, HostsError> {
    let address = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let new = |scheme: &str, tls: Tls| -> Result<Host, HostsError> {
        let base = Url::parse(&format!("{scheme}://{address}/v2/"))
            .map_err(|_| HostsError::Address(registry.to_owned()))?;
        Ok(Host {
            base,
            authority: address.to_owned(),
            capabilities: Capabilities::ALL,
            headers: HeaderMap::new(),
            tls,
            dial_timeout: None,
            mirror: false,
        })
    };
    match options.default_scheme.as_deref().filter(|scheme| !scheme.is_empty()) {
        Some(scheme @ ("http" | "https")) => Ok(vec![new(scheme, tls.clone())?]),
        Some(other) => Err(HostsError::Address(format!("{other}://{registry}"))),
        None if is_loopback(registry) && !registry.ends_with(":443") => {
            let open = Tls { skip_verify: *tls == Tls::default(), ..tls.clone() };
            Ok(vec![new("https", open)?, new("http", Tls::default())?])
        }
        None => Ok(vec![new("https", tls.clone())?]),
    }
}

/// Whether `registry` is this machine.
pub(super) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(host, _)| host),
        None => registry.rsplit_once(':').map_or(registry, |(host, _)| host),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[derive(Debug, Deserialize)]
struct File {
    server: Option<String>,
    #[serde(default)]
    host: toml::Table,
    #[serde(flatten)]
    own: Section,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Section {
    capabilities: Option<Vec<String>>,
    ca: Option<OneOrMany<PathBuf>>,
    client: Option<OneOrMany<Pair>>,
    skip_verify: bool,
    header: BTreeMap<String, OneOrMany<String>>,
    override_path: bool,
    dial_timeout: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Pair {
    Both(PathBuf),
    Apart(Vec<PathBuf>),
}

impl<T> OneOrMany<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

fn configured(
    registry: &str,
    options: &HostsOptions,
    folder: &Path,
    text: &[u8],
) -> Result<Result<Vec<Host>, HostsError>, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut hosts = Vec::new();
    for (address, section) in file.host {
        let section: Section = section.try_into().map_err(|error: toml::de::Error| error.to_string())?;
        hosts.push(host(&address, section, folder, true)?);
    }
    match file.server {
        Some(server) => hosts.push(host(&server, file.own, folder, false)?),
        None => match origin(registry, options, &Tls::default()) {
            Ok(origin) => hosts.extend(origin),
            Err(error) => return Ok(Err(error)),
        },
    }
    Ok(Ok(hosts))
}

fn host(address: &str, section: Section, folder: &Path, mirror: bool) -> Result<Host, String> {
    let wrong = || format!("{address:?} is not the address of a registry");
    let full = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
    let mut base = Url::parse(&full).map_err(|_| wrong())?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(wrong());
    }
    let mut path = base.path().trim_end_matches('/').to_owned();
    if !section.override_path && !path.ends_with("/v2") {
        path.push_str("/v2");
    }
    base.set_path(&format!("{path}/"));
    let authority = authority(&base);
    let mut headers = HeaderMap::new();
    for (name, values) in section.header {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header {name:?}"))?;
        for value in values.into_vec() {
            let value = HeaderValue::from_str(&value).map_err(|_| format!("the value of header {name}"))?;
            headers.append(name.clone(), value);
        }
    }
    Ok(Host {
        base,
        authority,
        capabilities: capabilities(section.capabilities)?,
        headers,
        tls: tls(folder, section.ca, section.client, section.skip_verify)?,
        dial_timeout: section.dial_timeout.as_deref().map(duration).transpose()?,
        mirror,
    })
}

/// `host[:port]` of an address.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn capabilities(names: Option<Vec<String>>) -> Result<Capabilities, String> {
    let Some(names) = names else { return Ok(Capabilities::ALL) };
    let mut capabilities = Capabilities { pull: false, resolve: false, push: false };
    for name in names {
        match name.as_str() {
            "pull" => capabilities.pull = true,
            "resolve" => capabilities.resolve = true,
            "push" => capabilities.push = true,
            // Of use to those who list what refers to an image; nothing here does.
            "referrers" => {}
            other => return Err(format!("unknown capability {other:?}")),
        }
    }
    Ok(capabilities)
}

fn tls(
    folder: &Path,
    ca: Option<OneOrMany<PathBuf>>,
    client: Option<OneOrMany<Pair>>,
    skip_verify: bool,
) -> Result<Tls, String> {
    let place = |path: &PathBuf| folder.join(path);
    let authorities = ca.map(OneOrMany::into_vec).unwrap_or_default().iter().map(place).collect();
    let mut identities = Vec::new();
    for pair in client.map(OneOrMany::into_vec).unwrap_or_default() {
        identities.push(match pair {
            Pair::Both(path) => (place(&path), None),
            Pair::Apart(paths) => match paths.as_slice() {
                [path] => (place(path), None),
                [certificate, key] => (place(certificate), Some(place(key))),
                _ => return Err("a client is a certificate and a key".to_owned()),
            },
        });
    }
    Ok(Tls { authorities, identities, skip_verify })
}

/// A duration as Go writes it: `500ms`, `10s`, `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("dial_timeout {text:?} is no duration");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let length = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let unit = match &after[..length] {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        total += Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        rest = &after[length..];
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

/// Certificates in `folder` as Docker lays them out.
fn docker_certificates(folder: &Path) -> Result<Tls, HostsError> {
    let mut tls = Tls::default();
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(PathError::at("list", folder))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort();
    for path in &paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.authorities.push(path.clone()),
            Some("cert") => {
                let key = path.with_extension("key");
                if !paths.contains(&key) {
                    let reason = format!("the key {} is missing", key.display());
                    return Err(HostsError::Format { path: path.clone(), reason });
                }
                tls.identities.push((path.clone(), Some(key)));
            }
            _ => {}
        }
    }
    Ok(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(registry: &str, options: &HostsOptions) -> Vec<String> {
        hosts(registry, options).expect("hosts").iter().map(|host| host.base.to_string()).collect()
    }

    #[test]
    fn a_registry_serves_itself() {
        let none = HostsOptions::default();
        assert_eq!(bases("docker.io", &none), ["https://registry-1.docker.io/v2/"]);
        assert_eq!(bases("r.example:8443", &none), ["https://r.example:8443/v2/"]);
        assert_eq!(
            bases("127.0.0.1:5000", &none),
            ["https://127.0.0.1:5000/v2/", "http://127.0.0.1:5000/v2/"]
        );
        assert_eq!(bases("[::1]:5000", &none), ["https://[::1]:5000/v2/", "http://[::1]:5000/v2/"]);
        assert_eq!(bases("localhost:443", &none), ["https://localhost/v2/"]);
        let plain = HostsOptions { default_scheme: Some("http".to_owned()), ..none };
        assert_eq!(bases("r.example", &plain), ["http://r.example/v2/"]);
    }

    #[test]
    fn mirrors_come_first_in_the_order_of_the_file() {
        let root = tempfile::tempdir().expect("temporary folder");
        let folder = root.path().join("r.example_5000_");
        std::fs::create_dir(&folder).expect("make");
        std::fs::write(
            folder.join("hosts.toml"),
            r#"
            server = "https://r.example:5000"
            [host."https://zeta.example"]
            capabilities = ["pull"]
            dial_timeout = "1m30s"
            ca = ["a.crt", "b.crt"]
            client = [["c.cert", "c.key"], ["both.pem"]]
            [host."https://zeta.example".header]
            x-name = ["one", "two"]
            [host."http://alpha.example/mirror/path"]
            override_path = true
            skip_verify = true
            "#,
        )
        .expect("write");
        let options = HostsOptions { directory: Some(root.path().to_owned()), default_scheme: None };
        assert_eq!(
            bases("r.example:5000", &options),
            ["https://zeta.example/v2/", "http://alpha.example/mirror/path/", "https://r.example:5000/v2/"]
        );
        let hosts = hosts("r.example:5000", &options).expect("hosts");
        let zeta = &hosts[0];
        assert_eq!(zeta.capabilities, Capabilities { pull: true, resolve: false, push: false });
        assert_eq!(zeta.dial_timeout, Some(Duration::from_secs(90)));
        assert_eq!(zeta.tls.authorities, [folder.join("a.crt"), folder.join("b.crt")]);
        let identities =
            [(folder.join("c.cert"), Some(folder.join("c.key"))), (folder.join("both.pem"), None)];
        assert_eq!(zeta.tls.identities, identities);
        assert_eq!(zeta.headers.get_all("x-name").iter().count(), 2);
        assert!(hosts[1].tls.skip_verify && hosts[1].mirror && !hosts[2].mirror);
        assert_eq!(hosts[2].authority, "r.example:5000");
    }

    #[test]
    fn a_wrong_file_is_named() {
        let root = tempfile::tempdir().expect("temporary folder");
        let folder = root.path().join("_default");
        std::fs::create_dir(&folder).expect("make");
        let options = HostsOptions { directory: Some(root.path().to_owned()), default_scheme: None };
        for text in ["server = 1", "[host.'ftp://x']", "[host.'https://x']\ncapabilities = ['fly']"] {
            std::fs::write(folder.join("hosts.toml"), text).expect("write");
            let error = hosts("any.example", &options).expect_err("wrong");
            assert!(error.to_string().contains("hosts.toml"), "{error}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        for bad in ["", "5", "s", "1x", "0s"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
