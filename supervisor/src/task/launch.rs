//! Running a shim's binary: `start` and `delete`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use dhow_linux::file::{Durability, PathError, read_limited, replace};
use dhow_linux::trace;
use dhow_proto::containerd::runtime::bootstrap::v1::BootstrapResult;
use dhow_proto::containerd::task::v3::DeleteResponse;
use dhow_proto::containerd::types::RuntimeInfo;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use prost::Message;
use prost_types::Any;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::bundle::Bundle;
use super::error::LaunchError;
use super::runtime_name;

/// How long `start` and `delete` may take.
const START: Duration = Duration::from_secs(30);
const DELETE: Duration = Duration::from_secs(30);

/// The file of a bundle that names the sandbox whose shim the task lives in.
const SANDBOX: &str = "sandbox";

/// Whether the task of a bundle lives in the shim of a sandbox, which ends with the sandbox and not with the task.
pub(super) fn has_joined(bundle: &Bundle) -> bool {
    bundle.file(SANDBOX).exists()
}

/// Who we are, for the shims that we start.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    pub(crate) address: PathBuf,
    pub(crate) ttrpc_address: PathBuf,
    /// Where clients install further shims and runtimes, in `bin`.
    pub(crate) installed: PathBuf,
}

/// How to reach a running shim; `bootstrap.json` of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub(crate) version: i32,
    pub(super) address: String,
    pub(super) protocol: String,
}

impl Launcher {
    /// Starts the shim of a bundle, with its runtime's options on stdin.
    pub(crate) async fn start(
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

    /// Asks a shim's binary what it and its runtime can do, with these options of the runtime.
    pub(crate) async fn info(
        &self,
        binary: &Path,
        options: Option<&Any>,
    ) -> Result<RuntimeInfo, LaunchError> {
        let mut command = Command::new(binary);
        command.arg("-info").env("PATH", self.search_path());
        let input = options.map(Message::encode_to_vec).unwrap_or_default();
        let output = run(command, binary, "-info", &input, START).await?;
        RuntimeInfo::decode(output.stdout.as_slice()).map_err(undecodable(binary, "-info"))
    }

    /// Cleans up after the dead shim of a bundle; how its container ended.
    pub(crate) async fn delete(
        &self,
        binary: &Path,
        (namespace, id): (&str, &str),
        bundle: &Bundle,
    ) -> Result<DeleteResponse, LaunchError> {
        let mut command = self.command(binary, namespace, id, bundle);
        command.arg("-bundle").arg(bundle.path()).arg("delete");
        let output = run(command, binary, "delete", &[], DELETE).await?;
        DeleteResponse::decode(output.stdout.as_slice()).map_err(undecodable(binary, "delete"))
    }

    /// The shim that a runtime name means.
    pub(crate) fn resolve(&self, runtime: &str) -> Result<PathBuf, LaunchError> {
        runtime_name::resolve(runtime, &self.search_path())
    }

    /// Where executables are looked for: first where clients install them.
    fn search_path(&self) -> OsString {
        let mut path = self.installed.join("bin").into_os_string();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        path
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
            .env("PATH", self.search_path())
            // Shims in Go start a thread for each processor otherwise.
            .env("GOMAXPROCS", "2")
            .current_dir(bundle.path());
        command
    }
}

/// An adapter for `map_err` on what a shim has printed.
fn undecodable(binary: &Path, action: &'static str) -> impl FnOnce(prost::DecodeError) -> LaunchError {
    move |error| LaunchError::Failed { binary: binary.to_owned(), action, output: error.to_string() }
}

/// The process group of an action; killed whole if the action has not ended when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _gone = killpg(leader, Signal::SIGKILL);
        }
    }
}

/// Runs an action of a shim's binary. Given up or out of time, it ends with all that it started, except what left its
/// process group: the shim itself.
async fn run(
    mut command: Command,
    binary: &Path,
    action: &'static str,
    input: &[u8],
    limit: Duration,
) -> Result<Output, LaunchError> {
    let failed = |source| LaunchError::Run { binary: binary.to_owned(), action, source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).kill_on_drop(true).spawn().map_err(failed)?;
    let mut group = Group(child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw));
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
    group.0 = None;
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
        endpoint.supported()
    }

    fn supported(self) -> Result<Self, LaunchError> {
        if !(2..=3).contains(&self.version) {
            return Err(LaunchError::Version(self.version));
        }
        if !self.protocol.eq_ignore_ascii_case("ttrpc") {
            return Err(LaunchError::Protocol(self.protocol));
        }
        Ok(self)
    }

    /// The endpoint at an address as containerd tells it, [`Endpoint::url`].
    pub(crate) fn from_url(url: &str, version: u32) -> Result<Self, LaunchError> {
        let (protocol, address) = url.split_once('+').ok_or_else(|| LaunchError::Address(url.to_owned()))?;
        let version = i32::try_from(version).unwrap_or(i32::MAX);
        Self { version, address: address.to_owned(), protocol: protocol.to_owned() }.supported()
    }

    /// Whether the shim can serve a whole sandbox: then a container that joins needs no `start` of its own.
    pub(crate) fn takes_more(&self) -> bool {
        self.version >= 3
    }

    /// Notes in a bundle that its task lives in the shim of a sandbox, at this endpoint.
    pub(super) fn join(&self, bundle: &Bundle, binary: &Path, sandbox: &str) -> Result<(), PathError> {
        let note = |name: &str, text: &[u8]| replace(&bundle.file(name), text, 0o600, Durability::Process);
        note("shim-binary-path", binary.as_os_str().as_encoded_bytes())?;
        note(SANDBOX, sandbox.as_bytes())?;
        self.save(bundle)
    }

    /// The Task service that the shim speaks.
    pub(crate) fn task_service(&self) -> &'static str {
        if self.version == 2 { "containerd.task.v2.Task" } else { "containerd.task.v3.Task" }
    }

    /// The address with its protocol, as containerd tells it: `ttrpc+unix:///run/...`.
    pub(crate) fn url(&self) -> String {
        format!("{}+{}", self.protocol, self.address)
    }

    /// Where the shim listens.
    pub(crate) fn path(&self) -> Result<PathBuf, LaunchError> {
        let path = self.address.strip_prefix("unix://").map(PathBuf::from);
        path.filter(|path| path.is_absolute()).ok_or_else(|| LaunchError::Address(self.address.clone()))
    }

    pub(super) fn save(&self, bundle: &Bundle) -> Result<(), PathError> {
        let path = bundle.file("bootstrap.json");
        let json = serde_json::to_vec(self).map_err(|error| PathError::at("encode", &path)(error.into()))?;
        replace(&path, &json, 0o644, Durability::Process)
    }

    /// The endpoint of a bundle's shim, if one was ever started there.
    pub(crate) fn load(bundle: &Bundle) -> Result<Self, LaunchError> {
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
        assert_eq!(Endpoint::from_url(&expected(3).url(), 3).expect("URL"), expected(3));
        for wrong in ["unix:///s/a", "grpc+unix:///s/a"] {
            assert!(Endpoint::from_url(wrong, 3).is_err(), "{wrong}");
        }
    }
}
