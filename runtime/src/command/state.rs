//! `state`: the state document of the runtime-spec, with runc's additions.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Outcome, Verb, open};
use crate::container::{Container, ContainerError, ContainerId};
use crate::options::Global;
use crate::spec::VERSION;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// the container to look at
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

/// The document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    oci_version: &'static str,
    pub(super) id: String,
    pub(super) pid: i32,
    pub(super) status: &'static str,
    pub(super) bundle: PathBuf,
    rootfs: PathBuf,
    pub(super) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    pub(super) owner: String,
}

impl Document {
    /// Describes a container; `owner` is told only in lists.
    pub(super) fn of(container: &Container, owner: String) -> Result<Self, ContainerError> {
        let status = container.status()?;
        let state = &container.state;
        Ok(Self {
            oci_version: VERSION,
            id: state.id.to_string(),
            pid: container.shown_pid(status),
            status: status.name(),
            bundle: state.bundle.clone(),
            rootfs: state.rootfs.clone(),
            created: state.created.clone(),
            annotations: container.spec()?.annotations,
            owner,
        })
    }
}

impl Verb for StateArgs {
    const NAME: &str = "state";
    const HELP: &str = "output the state of a container";

    fn run(self, global: &Global) -> Outcome {
        let document = Document::of(&open(global, &self.id)?, String::new())?;
        let text = serde_json::to_vec_pretty(&document)?;
        std::io::stdout().write_all(&text)?;
        Ok(0)
    }
}
