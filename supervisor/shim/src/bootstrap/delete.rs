//! `delete`: cleans up after a shim that is dead.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use dhow_linux::file::read_limited;
use dhow_proto::containerd::runc::v1::Options as RuncOptions;
use dhow_proto::containerd::task::v3::DeleteResponse;
use dhow_proto::error::chain;
use prost::Message;

use crate::clock;
use crate::exit_record::ExitRecord;
use crate::oci_runtime::Configuration;
use crate::options::Options;
use crate::rootfs;
use crate::socket;

/// What a process that is killed here ends with.
const KILLED: u32 = 128 + 9;

/// Ends what is left of the container and prints how it ended.
pub(crate) fn delete(options: &Options) -> anyhow::Result<()> {
    let bundle = match &options.bundle {
        Some(bundle) => bundle.clone(),
        None => std::env::current_dir().context("find the bundle")?,
    };
    if let Err(error) = delete_container(options, &bundle) {
        // Told and not fatal: the rootfs must come down, and the bundle go, in any case.
        drop(writeln!(std::io::stderr(), "delete container: {error:#}"));
    }
    if let Err(error) = rootfs::unmount_all(&bundle.join("rootfs")) {
        drop(writeln!(std::io::stderr(), "{}", chain(&error)));
    }
    if let Ok(address) = read_limited(&bundle.join("address"), 4096) {
        let address = String::from_utf8_lossy(&address);
        // The shim of a group may live on for the others.
        socket::remove_dead(Path::new(address.trim_start_matches("unix://")));
    }
    let response = response(&bundle);
    std::io::stdout().write_all(&response.encode_to_vec()).context("print exit")
}

fn delete_container(options: &Options, bundle: &Path) -> anyhow::Result<()> {
    let configuration = match read_limited(&bundle.join("runtime.json"), 64 << 10) {
        Ok(json) => serde_json::from_slice(&json).context("read runtime.json")?,
        // The shim died before it was asked to create anything, or was another implementation.
        Err(_) => Configuration::new(&RuncOptions::default(), &options.namespace, bundle),
    };
    let log: PathBuf = bundle.join("log-delete.json");
    let mut command = configuration.command(&log);
    let output = command.args(["delete", "--force", &options.id]).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("start {}", configuration.binary.display()))?;
    let printed = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    if !output.status.success() {
        let error =
            crate::oci_runtime::failure(&log, &printed, output.status.code().unwrap_or(-1).cast_unsigned());
        if !error.to_string().contains("does not exist") {
            return Err(error.into());
        }
    }
    Ok(())
}

fn response(bundle: &Path) -> DeleteResponse {
    if let Some(record) = ExitRecord::load(bundle) {
        let exited_at = record.exited_at();
        return DeleteResponse { pid: record.pid, exit_status: record.status, exited_at };
    }
    let pid = read_limited(&bundle.join("init.pid"), 32).ok();
    let pid = pid.and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok());
    DeleteResponse { pid: pid.unwrap_or(0), exit_status: KILLED, exited_at: Some(clock::now()) }
}
