//! `-info`: what this shim is and what its runtime can do.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context;
use dhow_proto::any;
use dhow_proto::containerd::runc::v1::Options as RuncOptions;
use dhow_proto::containerd::types::{RuntimeInfo, RuntimeVersion};
use prost::Message;
use prost_types::Any;

use crate::oci_runtime;

/// Type URL of an OCI runtime's features, as JSON.
const FEATURES_URL: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/// Reads runtime options and prints a `RuntimeInfo`.
pub(crate) fn info() -> anyhow::Result<()> {
    let mut input = Vec::new();
    std::io::stdin().take(1 << 20).read_to_end(&mut input).context("read options")?;
    let given =
        (!input.is_empty()).then(|| Any::decode(input.as_slice())).transpose().context("decode options")?;
    let options: Option<RuncOptions> =
        given.as_ref().and_then(any::unpack).transpose().context("decode options")?;
    let binary = match options.as_ref().map(|options| options.binary_name.as_str()) {
        None | Some("") => oci_runtime::default_binary(),
        Some(name) => PathBuf::from(name),
    };
    let features = Command::new(&binary).arg("features").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let features = features.ok().filter(|output| output.status.success());
    let info = RuntimeInfo {
        name: "io.containerd.dhow.v2".to_owned(),
        version: Some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: String::new(),
        }),
        options: given,
        features: features.map(|output| any::pack_json(FEATURES_URL, output.stdout)),
        ..RuntimeInfo::default()
    };
    std::io::stdout().write_all(&info.encode_to_vec()).context("print info")
}
