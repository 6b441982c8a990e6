//! Addresses of daemons: `unix://PATH`, `tcp://HOST:PORT`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A host and port without encryption.
    Tcp(String),
}

/// An address that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    #[error("unable to parse docker host `{0}`")]
    Format(String),
    #[error("{0}: connections over SSH are not supported; forward the socket with `ssh -L` and use unix://")]
    Ssh(String),
    #[error(
        "{0}: a daemon on another machine needs TLS, which is not supported; forward its socket with `ssh -L`"
    )]
    Remote(String),
    #[error("{0}: only unix:// and tcp:// on loopback are supported")]
    Scheme(String),
}

/// Our daemon's socket.
const OURS: &str = "/run/dhow/dhowd.sock";
/// Docker's.
const DOCKERS: &str = "/var/run/docker.sock";

impl Host {
    /// Our daemon, or Docker's when only that is there.
    pub(crate) fn default_socket() -> Self {
        let ours = Path::new(OURS);
        let dockers = Path::new(DOCKERS);
        Self::Unix(if !ours.exists() && dockers.exists() { dockers } else { ours }.to_path_buf())
    }

    /// Reads an address.
    pub(crate) fn parse(text: &str) -> Result<Self, HostError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            return Ok(Self::Unix(if path.is_empty() { DOCKERS.into() } else { path.into() }));
        }
        match text.split_once("://") {
            Some(("tcp" | "http", rest)) => {
                let authority = rest.trim_end_matches('/');
                let authority = match authority.rsplit_once(':') {
                    Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
                    _ => format!("{authority}:2375"),
                };
                let name = authority.rsplit_once(':').map_or("", |(name, _)| name);
                let address = name.trim_matches(['[', ']']);
                let local = address == "localhost"
                    || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
                if local { Ok(Self::Tcp(authority)) } else { Err(HostError::Remote(text.to_owned())) }
            }
            Some(("ssh", _)) => Err(HostError::Ssh(text.to_owned())),
            Some(_) => Err(HostError::Scheme(text.to_owned())),
            None if text.starts_with('/') => Ok(Self::Unix(text.into())),
            None => Err(HostError::Format(text.to_owned())),
        }
    }

    /// The value of the `Host` header.
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Unix(_) => "api.moby.localhost",
            Self::Tcp(authority) => authority,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, HostError};

    #[test]
    fn addresses() {
        assert_eq!(Host::parse("unix:///a/b"), Ok(Host::Unix("/a/b".into())));
        assert_eq!(Host::parse("tcp://127.0.0.1"), Ok(Host::Tcp("127.0.0.1:2375".into())));
        assert_eq!(Host::parse("tcp://[::1]:99"), Ok(Host::Tcp("[::1]:99".into())));
        assert!(matches!(Host::parse("tcp://example.com:2375"), Err(HostError::Remote(_))));
        assert!(matches!(Host::parse("ssh://me@host"), Err(HostError::Ssh(_))));
        assert_eq!(Host::parse("nonsense"), Err(HostError::Format("nonsense".into())));
    }
}
