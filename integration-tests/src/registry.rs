//! Debian's docker-registry on a free loopback port, with storage of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Background, eventually};

/// A running registry; stopped and emptied when dropped.
#[derive(Debug)]
pub struct Registry {
    _process: Background,
    _folder: TempDir,
    port: u16,
}

impl Registry {
    /// Starts one that lets everybody in.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::launch("")
    }

    /// Starts one that asks for basic auth against the lines of this htpasswd file (bcrypt hashes).
    #[must_use]
    #[track_caller]
    pub fn with_password(htpasswd: &str) -> Self {
        Self::launch(htpasswd)
    }

    fn launch(htpasswd: &str) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let passwords = folder.path().join("htpasswd");
        fs::write(&passwords, htpasswd).expect("write htpasswd");
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {passwords:?}}}}}\n");
        let auth = if htpasswd.is_empty() { "" } else { &auth };
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {:?}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n{auth}",
            folder.path().join("storage")
        );
        fs::write(&config, text).expect("write the configuration");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Background::start(&mut command);
        eventually("the registry listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { _process: process, _folder: folder, port }
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
