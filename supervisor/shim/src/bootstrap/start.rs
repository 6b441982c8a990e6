//! `start`: makes the socket and the process that serves it.

use std::io::{Read, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use dhow_linux::file::{Durability, replace};
use dhow_proto::any;
use dhow_proto::containerd::runc::v1::Options as RuncOptions;
use dhow_proto::containerd::runtime::bootstrap::v1::{BootstrapParams, BootstrapResult, LogLevel};
use prost::Message;
use prost_types::Any;

use super::{group, placement};
use crate::options::Options;
use crate::socket::{self, Place};

/// Where the serving process finds its listening socket.
pub(crate) const LISTENER: RawFd = 3;

/// The most that is read from stdin.
const INPUT_LIMIT: u64 = 10 << 20;

/// What to start, from whichever form of parameters came.
struct Parameters {
    address: String,
    ttrpc_address: Option<String>,
    debug: bool,
    socket_folder: Option<PathBuf>,
    runtime: Option<RuncOptions>,
    answer: Answer,
}

#[derive(Clone, Copy)]
enum Answer {
    Address,
    Json,
    Protobuf,
}

/// Starts a shim for the bundle in the working directory, unless its group has one, and prints how to reach it.
pub(crate) fn start(options: &Options) -> anyhow::Result<()> {
    let mut input = Vec::new();
    std::io::stdin().take(INPUT_LIMIT).read_to_end(&mut input).context("read parameters")?;
    let parameters = parameters(options, &input);

    let folder = parameters.socket_folder.clone().unwrap_or_else(|| socket_folder(&parameters.address));
    let group = group::of_bundle(Path::new("."), &options.id);
    let path = folder.join(socket_name(&[&parameters.address, &options.namespace, &group]));
    let place = socket::listen_or_find(&path)?;
    let address = format!("unix://{}", path.display());
    replace(Path::new("address"), address.as_bytes(), 0o600, Durability::Process)?;

    if let Place::Ours(listener) = place
        && let Err(error) = spawn_and_place(options, &parameters, listener)
    {
        socket::remove(&path);
        drop(std::fs::remove_file("address"));
        return Err(error);
    }
    let result = BootstrapResult {
        version: 3,
        address: address.clone(),
        protocol: "ttrpc".to_owned(),
        ..Default::default()
    };
    let answer = match parameters.answer {
        Answer::Address => address.into_bytes(),
        Answer::Json => serde_json::json!({ "version": 3, "address": address, "protocol": "ttrpc" })
            .to_string()
            .into_bytes(),
        Answer::Protobuf => result.encode_to_vec(),
    };
    std::io::stdout().write_all(&answer).context("print address")
}

fn parameters(options: &Options, input: &[u8]) -> Parameters {
    // Options alone can look like parameters: only the names tell.
    let bootstrap = BootstrapParams::decode(input)
        .ok()
        .filter(|params| params.instance_id == options.id && params.namespace == options.namespace);
    match bootstrap {
        Some(params) => Parameters {
            runtime: params
                .extensions
                .iter()
                .filter_map(|extension| extension.value.as_ref())
                .find_map(runc_options),
            address: params.containerd_grpc_address,
            ttrpc_address: Some(params.containerd_ttrpc_address).filter(|address| !address.is_empty()),
            debug: options.debug || params.log_level <= i32::from(LogLevel::Debug),
            socket_folder: params.socket_dir.map(PathBuf::from),
            answer: Answer::Protobuf,
        },
        None => Parameters {
            address: options.address.clone(),
            ttrpc_address: None,
            debug: options.debug,
            socket_folder: None,
            runtime: Any::decode(input).ok().as_ref().and_then(runc_options),
            answer: match std::env::var("MAX_SHIM_VERSION")
                .ok()
                .and_then(|version| version.parse::<u32>().ok())
            {
                Some(3..) => Answer::Json,
                _ => Answer::Address,
            },
        },
    }
}

fn runc_options(options: &Any) -> Option<RuncOptions> {
    any::unpack(options)?.ok()
}

/// Sockets lie beside the supervisor's, so that stacks beside each other stay apart.
fn socket_folder(address: &str) -> PathBuf {
    let folder = Path::new(address).parent().filter(|folder| folder.is_absolute());
    let folder = folder.unwrap_or_else(|| Path::new("/run/containerd")).join("s");
    // 32 digits of the name and the suffix of a console socket must fit behind it.
    if folder.as_os_str().len() + 40 <= socket::PATH_LIMIT {
        folder
    } else {
        PathBuf::from("/run/containerd/s")
    }
}

/// A name for the socket of one group, the same each time: 128 bits of FNV-1a over whose it is.
fn socket_name(parts: &[&str]) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

fn spawn_and_place(options: &Options, parameters: &Parameters, listener: OwnedFd) -> anyhow::Result<()> {
    let mut child = spawn(options, parameters, listener)?;
    let placed = placement::place(child.id(), parameters.runtime.as_ref()).context("place the shim");
    if placed.is_err() {
        drop(child.kill());
        drop(child.wait());
    }
    placed
}

fn spawn(options: &Options, parameters: &Parameters, listener: OwnedFd) -> anyhow::Result<Child> {
    // Named as this process was called: the name decides the default runtime.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(std::env::args_os().next().unwrap_or_default())
        .args(["-namespace", &options.namespace, "-id", &options.id, "-address", &parameters.address])
        .args(parameters.debug.then_some("-debug"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(address) = &parameters.ttrpc_address {
        command.env("TTRPC_ADDRESS", address);
    }
    let child =
        dhow_linux::spawn::pass_fds(&mut command, vec![(listener, LISTENER)]).and_then(Command::spawn);
    child.context("start the serving process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_a_socket_of_its_own() {
        let name = socket_name(&["/run/c.sock", "default", "a"]);
        assert_eq!(name.len(), 32);
        assert_eq!(name, socket_name(&["/run/c.sock", "default", "a"]));
        assert_ne!(name, socket_name(&["/run/c.sock", "defaulta", ""]));
        assert_eq!(socket_folder("/run/dhow/supervisor.sock"), Path::new("/run/dhow/s"));
        assert_eq!(socket_folder(&format!("/{}/c.sock", "x".repeat(90))), Path::new("/run/containerd/s"));
    }

    #[test]
    fn both_forms_of_parameters_are_understood() {
        let options = Options { id: "a".to_owned(), namespace: "n".to_owned(), ..Options::default() };
        let runc = RuncOptions { shim_cgroup: "/g".to_owned(), ..RuncOptions::default() };
        let old = parameters(&options, &any::pack(&runc).encode_to_vec());
        assert!(matches!(old.answer, Answer::Address));
        assert_eq!(old.runtime.expect("options").shim_cgroup, "/g");

        let extension =
            dhow_proto::containerd::runtime::bootstrap::v1::Extension { value: Some(any::pack(&runc)) };
        let params = BootstrapParams {
            instance_id: "a".to_owned(),
            namespace: "n".to_owned(),
            extensions: vec![extension],
            containerd_grpc_address: "/c.sock".to_owned(),
            ..Default::default()
        };
        let new = parameters(&options, &params.encode_to_vec());
        assert!(matches!(new.answer, Answer::Protobuf));
        assert_eq!(
            (new.address.as_str(), new.runtime.expect("options").shim_cgroup.as_str()),
            ("/c.sock", "/g")
        );
    }
}
