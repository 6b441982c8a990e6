//! `start`: makes the socket and the process that serves it.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use dhow_linux::clone::{self, Side};
use dhow_linux::file::{Durability, replace};
use dhow_proto::any;
use dhow_proto::containerd::runc::v1::Options as RuncOptions;
use dhow_proto::containerd::runtime::bootstrap::v1::{BootstrapParams, BootstrapResult, LogLevel};
use prost::Message;
use prost_types::Any;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitOptions};

use super::{group, placement};
use crate::Service;
use crate::options::Options;
use crate::socket::{self, Place};

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

    if let Place::Ours(listener) = place {
        match spawn(options, &parameters, listener, &path) {
            Ok(Side::Parent { .. }) => {}
            // This is the serving process, and it has served.
            Ok(Side::Child) => return Ok(()),
            Err(error) => {
                socket::remove(&path);
                drop(std::fs::remove_file("address"));
                return Err(error);
            }
        }
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

/// Makes the serving process and puts it where it belongs; in that process itself, serves. It is a copy of this one: to
/// start the binary a second time would take longer than all the rest.
fn spawn(options: &Options, parameters: &Parameters, listener: OwnedFd, path: &Path) -> anyhow::Result<Side> {
    let service = Service {
        id: options.id.clone(),
        namespace: options.namespace.clone(),
        debug: parameters.debug,
        events: events_address(parameters),
        socket: path.to_owned(),
        listener,
    };
    // The serving process and its containers share the cores with each other, and with nobody else.
    if std::env::var_os("SCHED_CORE").is_some_and(|wanted| !wanted.is_empty()) {
        dhow_linux::sched::isolate_core().context("enable sched core support")?;
    }
    let side = clone::clone3(&clone::Options::default()).context("start the serving process")?;
    let Side::Parent { pid, .. } = &side else {
        detach().context("leave the caller")?;
        // Again, so that the kernel names this process to those who connect.
        rustix::net::listen(&service.listener, socket::BACKLOG).context("listen")?;
        return crate::serve(service).map(|()| side);
    };
    let placed = placement::place(pid.as_raw_nonzero().get().cast_unsigned(), parameters.runtime.as_ref());
    if placed.is_err() {
        // Whether it was there to be killed: it is gone now.
        let _gone = rustix::process::kill_process(*pid, Signal::KILL);
        let _gone = rustix::process::waitpid(Some(*pid), WaitOptions::empty());
    }
    placed.context("place the shim").map(|()| side)
}

/// Gives up the streams of the caller, who reads them to their end, and its process group.
fn detach() -> rustix::io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    rustix::process::setpgid(None, None)
}

/// Where the supervisor takes events.
fn events_address(parameters: &Parameters) -> Option<PathBuf> {
    let given = parameters.ttrpc_address.clone().map(PathBuf::from);
    crate::events_address(given, &parameters.address)
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
