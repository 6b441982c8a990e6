//! `features`: what this program can do, for engines to read.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::{Outcome, Verb};
use crate::options::Global;
use crate::seccomp;
use crate::spec::{NamespaceKind, VERSION};

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct FeaturesArgs {}

impl Verb for FeaturesArgs {
    const NAME: &str = "features";
    const HELP: &str = "show the enabled features";

    fn run(self, _: &Global) -> Outcome {
        let mut text = serde_json::to_vec_pretty(&document())?;
        text.push(b'\n');
        std::io::stdout().write_all(&text)?;
        Ok(0)
    }
}

fn document() -> serde_json::Value {
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": crate::rootfs::known_options(),
        "linux": linux(),
        "annotations": {
            "org.opencontainers.runc.checkpoint.enabled": "true",
            "org.opencontainers.runc.version": env!("CARGO_PKG_VERSION"),
        },
        "potentiallyUnsafeConfigAnnotations": ["bundle", "org.systemd.property.", "org.criu.config"],
    })
}

fn linux() -> serde_json::Value {
    let mut namespaces = NamespaceKind::ALL.map(NamespaceKind::name);
    namespaces.sort_unstable();
    let mut capabilities: Vec<_> = caps::all().iter().map(ToString::to_string).collect();
    capabilities.sort_unstable();
    json!({
        "namespaces": namespaces,
        "capabilities": capabilities,
        "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": true },
        "seccomp": {
            "enabled": true,
            "actions": seccomp::ACTIONS,
            "operators": seccomp::OPERATORS,
            "archs": seccomp::ARCHITECTURES,
            "knownFlags": seccomp::FLAGS,
            "supportedFlags": seccomp::supported_flags(),
        },
        "apparmor": { "enabled": true },
        "selinux": { "enabled": true },
        "intelRdt": { "enabled": true, "schemata": true, "monitoring": true },
        "memoryPolicy": {
            "modes": [
                "MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY",
                "MPOL_WEIGHTED_INTERLEAVE",
            ],
            "flags": ["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
        },
        "mountExtensions": { "idmap": { "enabled": true } },
        "netDevices": { "enabled": true },
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_one_that_engines_can_read() {
        let features: oci_spec::runtime::Features =
            serde_json::from_value(super::document()).expect("features as the spec has them");
        assert_eq!(features.oci_version_max(), crate::spec::VERSION);
    }
}
