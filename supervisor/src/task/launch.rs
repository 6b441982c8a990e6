//! Running a shim's binary: `start` and `delete`.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use dhow_linux::file::{Durability, PathError, read_limited, replace};
use dhow_linux::trace;
use dhow_proto::containerd::runtime::bootstrap::v1::BootstrapResult;
use dhow_proto::containerd::task::v3::DeleteResponse;
use prost::Message;
use prost_types::Any;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::bundle::Bundle;
use super::error::LaunchError;

/// How long `start` and `delete` may take.
const START: Duration = Duration::from_secs(30);
const DELETE: Duration = Duration::from_secs(30);

/// Who we are, for the shims that we start.
#[derive(Debug, Clone)]
pub(super) struct Launcher {
    pub(super) address: PathBuf,
    pub(super) ttrpc_address: PathBuf,
}

/// How to reach a running shim; `bootstrap.json` of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) version: i32,
    pub(super) address: String,
    pub(super) protocol: String,
}

impl Launcher {
    /// Starts the shim of a bundle, with its runtime's options on stdin.
    pub(super) async fn start(
        &self,
        binary: &Path,
        (namespace, id): (&str, &str),
        bundle: &Bundle,
        options: Option<&Any>,
    ) -> Result<Endpoint, LaunchError> {
        let _span = trace::span("supervisor", "start the shim");
        let path = bundle.file("shim-binary-path");
        replace(&path, binary.as_os_str().as_encoded_bytes(), 0o600, Durability::Process)?;
        let mut command = self.command(binary, namespace, id, bundle);
        command.arg("start");
        let input = options.map(Message::encode_to_vec).unwrap_or_default();
        let output = run(command, binary, "start", &input, START).await?;
        let endpoint = Endpoint::parse(&output.stdout)?;
        endpoint.save(bundle)?;
        Ok(endpoint)
    }

    /// Cleans up after the dead shim of a bundle; how its container ended.
    pub(super) async fn delete(
        &self,
        binary: &Path,
        (namespace, id): (&str, &str),
        bundle: &Bundle,
    ) -> Result<DeleteResponse, LaunchError> {
        let mut command = self.command(binary, namespace, id, bundle);
        command.arg("-bundle").arg(bundle.path()).arg("delete");
        let output = run(command, binary, "delete", &[], DELETE).await?;
        let failed = |error: prost::DecodeError| LaunchError::Failed {
            binary: binary.to_owned(),
            action: "delete",
            output: error.to_string(),
        };
        DeleteResponse::decode(output.stdout.as_slice()).map_err(failed)
    }

    fn command(&self, binary: &Path, namespace: &str, id: &str, bundle: &Bundle) -> Command {
        let own = std::env::current_exe().unwrap_or_default();
        let mut command = Command::new(binary);
        command
            .args(["-namespace", namespace, "-id", id, "-address"])
            .arg(&self.address)
            .arg("-publish-binary")
            .arg(own)
            .env("TTRPC_ADDRESS", &self.ttrpc_address)
            .env("GRPC_ADDRESS", &self.address)
            .env("NAMESPACE", namespace)
            .env("MAX_SHIM_VERSION", "3")
            // Shims in Go start a thread for each processor otherwise.
            .env("GOMAXPROCS", "2")
            .current_dir(bundle.path())
            .process_group(0);
        command
    }
}

async fn run(
    mut command: Command,
    binary: &Path,
    action: &'static str,
    input: &[u8],
    limit: Duration,
) -> Result<Output, LaunchError> {
    let failed = |source| LaunchError::Run { binary: binary.to_owned(), action, source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let finished = async {
        if let Some(mut stdin) = stdin {
            // A shim that does not read its input does not need it.
            drop(stdin.write_all(input).await);
        }
        child.wait_with_output().await
    };
    let timeout = || LaunchError::Timeout { binary: binary.to_owned(), action };
    let output = tokio::time::timeout(limit, finished).await.map_err(|_| timeout())?.map_err(failed)?;
    if output.status.success() {
        return Ok(output);
    }
    let printed = [output.stderr, output.stdout].concat();
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    let output = if printed.is_empty() { output.status.to_string() } else { printed };
    Err(LaunchError::Failed { binary: binary.to_owned(), action, output })
}

impl Endpoint {
    /// Reads what `start` printed: JSON, a `BootstrapResult`, or an address alone.
    fn parse(printed: &[u8]) -> Result<Self, LaunchError> {
        let text = std::str::from_utf8(printed).unwrap_or_default().trim();
        let endpoint = if let Ok(endpoint) = serde_json::from_str::<Self>(text) {
            endpoint
        } else if text.starts_with("unix://") {
            Self { version: 2, address: text.to_owned(), protocol: "ttrpc".to_owned() }
        } else {
            let result =
                BootstrapResult::decode(printed).map_err(|_| LaunchError::Address(text.to_owned()))?;
            Self { version: result.version, address: result.address, protocol: result.protocol }
        };
        if !(2..=3).contains(&endpoint.version) {
            return Err(LaunchError::Version(endpoint.version));
        }
        if !endpoint.protocol.eq_ignore_ascii_case("ttrpc") {
            return Err(LaunchError::Protocol(endpoint.protocol));
        }
        Ok(endpoint)
    }

    /// Where the shim listens.
    pub(super) fn path(&self) -> Result<PathBuf, LaunchError> {
        let path = self.address.strip_prefix("unix://").map(PathBuf::from);
        path.filter(|path| path.is_absolute()).ok_or_else(|| LaunchError::Address(self.address.clone()))
    }

    fn save(&self, bundle: &Bundle) -> Result<(), PathError> {
        let path = bundle.file("bootstrap.json");
        let json = serde_json::to_vec(self).map_err(|error| PathError::at("encode", &path)(error.into()))?;
        replace(&path, &json, 0o644, Durability::Process)
    }

    /// The endpoint of a bundle's shim, if one was ever started there.
    pub(super) fn load(bundle: &Bundle) -> Result<Self, LaunchError> {
        match read_limited(&bundle.file("bootstrap.json"), 64 << 10) {
            Ok(json) => Self::parse(&json),
            // A crash came between the start of the shim and our note of it.
            Err(error) if error.is_not_found() => {
                Self::parse(&read_limited(&bundle.file("address"), 4 << 10)?)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_a_shim_is_understood() {
        let expected =
            |version| Endpoint { version, address: "unix:///s/a".to_owned(), protocol: "ttrpc".to_owned() };
        let json = br#"{"version":3,"address":"unix:///s/a","protocol":"ttrpc"}"#;
        assert_eq!(Endpoint::parse(json).expect("JSON"), expected(3));
        assert_eq!(Endpoint::parse(b"unix:///s/a\n").expect("address"), expected(2));
        let result = BootstrapResult {
            version: 3,
            address: "unix:///s/a".to_owned(),
            protocol: "ttrpc".to_owned(),
            ..Default::default()
        };
        assert_eq!(Endpoint::parse(&result.encode_to_vec()).expect("protobuf"), expected(3));
        let grpc = br#"{"version":3,"address":"unix:///s/a","protocol":"grpc"}"#;
        assert!(matches!(Endpoint::parse(grpc), Err(LaunchError::Protocol(_))));
        assert!(matches!(
            Endpoint::parse(br#"{"version":4,"address":"","protocol":""}"#),
            Err(LaunchError::Version(4))
        ));
        assert_eq!(expected(2).path().expect("path"), Path::new("/s/a"));
    }
}
