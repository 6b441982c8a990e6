//! The OCI runtime spec of a container, from what the user asked for and what the host is.
//!
//! ```text
//! create: merge::image_into(config, image) → defaults::fill(host, machine) → validate::check(config, host, machine)
//! start:  HostFacts::gather(host, mounts) ┐
//!         Database::resolve(user)         ├→ build(&SpecInput) → Spec
//!         sandbox, namespaces, paths      ┘
//! ```
//!
//! Owns: every default of Docker's that ends up in a spec. [`build`] is pure: whatever must be read from the host is
//! in [`Machine`] (read once) or [`HostFacts`] (read per start), so that a spec can be compared with a golden file.

pub(crate) mod capability;
pub(crate) mod defaults;
pub(crate) mod device;
mod exec;
pub(crate) mod host;
pub(crate) mod machine;
pub(crate) mod merge;
pub(crate) mod mount;
pub(crate) mod namespace;
mod process;
pub(crate) mod resource;
mod seccomp;
pub(crate) mod security;
#[cfg(test)]
mod tests;
pub(crate) mod user;
pub(crate) mod validate;

use std::collections::HashMap;
use std::path::Path;

use dhow_engine_api::container::{ContainerConfig, HostConfig};
use oci_spec::runtime::{Linux, Root, Spec};

use self::capability::CapabilityError;
use self::device::DeviceError;
pub(crate) use self::exec::exec_process;
pub(crate) use self::host::HostFacts;
pub(crate) use self::machine::Machine;
use self::mount::{MountError, MountPlan};
pub(crate) use self::namespace::{Join, Namespaces};
use self::seccomp::ProfileError;
use self::security::Security;
use self::user::Identity;
use crate::error::Failure;
use dhow_proto::error::Kind;

/// The version of the runtime specification that specs are written for.
const SPEC_VERSION: &str = "1.2.0";

/// Everything that a spec is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpecInput<'a> {
    /// What runs, merged with the image.
    pub(crate) config: &'a ContainerConfig,
    /// What it gets from the host, defaults filled in.
    pub(crate) host: &'a HostConfig,
    /// The root file system, relative to the bundle or absolute.
    pub(crate) rootfs: &'a Path,
    /// The container's cgroup, such as `/dhow/ID`.
    pub(crate) cgroup_path: &'a str,
    /// Who it runs as.
    pub(crate) identity: &'a Identity,
    /// Namespaces that it joins.
    pub(crate) namespaces: &'a Namespaces,
    /// Volumes, binds, tmpfs and the files of its network, in any order.
    pub(crate) mounts: &'a [MountPlan],
    /// What its `HostConfig` names on this host.
    pub(crate) facts: &'a HostFacts,
    /// This host.
    pub(crate) machine: &'a Machine,
}

/// Why there can be no spec.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// Nothing to run.
    #[error("no command specified")]
    NoCommand,
    /// Capabilities that cannot be given.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// A seccomp profile that cannot be used.
    #[error(transparent)]
    Seccomp(#[from] ProfileError),
    /// A custom seccomp profile and no seccomp.
    #[error("seccomp is not enabled in your kernel, cannot run a custom seccomp profile")]
    NoSeccomp,
    /// A device that cannot be given.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A mount that cannot be made.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A setting that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// `--init` without an init.
    #[error("--init needs docker-init or tini, and neither is installed")]
    NoInit,
    /// A ulimit by a name that the kernel does not have.
    #[error("invalid ulimit type: {0}")]
    Ulimit(String),
}

impl Failure for SpecError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoCommand
            | Self::Capability(_)
            | Self::Seccomp(_)
            | Self::Device(_)
            | Self::Mount(_)
            | Self::Invalid(_)
            | Self::Ulimit(_) => Kind::InvalidArgument,
            Self::NoSeccomp | Self::NoInit => Kind::FailedPrecondition,
        }
    }
}

/// Builds the spec.
///
/// # Errors
/// When the user asked for something that cannot be.
pub(crate) fn build(input: &SpecInput<'_>) -> Result<Spec, SpecError> {
    let security = Security::parse(input.host.security_opt.as_deref().unwrap_or_default())
        .map_err(|error| SpecError::Invalid(error.to_string()))?;
    let bounding = capability::bounding(
        input.host.cap_add.as_deref().unwrap_or_default(),
        input.host.cap_drop.as_deref().unwrap_or_default(),
        input.host.privileged,
        &input.machine.capabilities,
    )?;
    let mut root = Root::default();
    root.set_path(input.rootfs.to_owned()).set_readonly(Some(input.host.readonly_rootfs));

    let mut spec = Spec::default();
    spec.set_version(SPEC_VERSION.to_owned())
        .set_root(Some(root))
        .set_process(Some(process::process(input, &security, &bounding)?))
        .set_mounts(Some(mount::mounts(input, &security)?))
        .set_linux(Some(linux(input, &security, &bounding)?))
        .set_annotations(annotations(input.host));
    if input.namespaces.uts != Join::Host {
        spec.set_hostname(Some(input.config.hostname.clone()));
        spec.set_domainname(Some(input.config.domainname.clone()).filter(|name| !name.is_empty()));
    } else {
        spec.set_hostname(None);
    }
    Ok(spec)
}

fn linux(input: &SpecInput<'_>, security: &Security, bounding: &[String]) -> Result<Linux, SpecError> {
    let (masked, read_only) = hidden_paths(input);
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(input.namespaces.list()))
        .set_cgroups_path(Some(input.cgroup_path.into()))
        .set_resources(Some(resource::resources(input)?))
        .set_devices(Some(input.facts.devices.clone()).filter(|devices| !devices.is_empty()))
        .set_seccomp(security.filter(input.host.privileged, bounding, input.machine)?)
        .set_sysctl(sysctls(input))
        .set_rootfs_propagation(mount::rootfs_propagation(input.mounts).map(str::to_owned))
        .set_masked_paths(masked)
        .set_readonly_paths(read_only);
    Ok(linux)
}

fn hidden_paths(input: &SpecInput<'_>) -> (Option<Vec<String>>, Option<Vec<String>>) {
    if input.host.privileged {
        return (input.host.masked_paths.clone(), input.host.readonly_paths.clone());
    }
    let masked = input.host.masked_paths.clone().unwrap_or_else(|| input.machine.masked_paths());
    let read_only = input.host.readonly_paths.clone().unwrap_or_else(defaults::readonly_paths);
    (Some(masked), Some(read_only))
}

/// The user's, upon those that let an unprivileged process ping and serve low ports in a network of its own.
fn sysctls(input: &SpecInput<'_>) -> Option<HashMap<String, String>> {
    let mut set = HashMap::new();
    if matches!(input.namespaces.network, Join::Private | Join::Path(_)) && input.namespaces.own_network {
        for (name, value) in &input.machine.network_sysctls {
            set.insert((*name).to_owned(), (*value).to_owned());
        }
    }
    for (name, value) in input.host.sysctls.iter().flatten() {
        set.insert(name.clone(), value.clone());
    }
    Some(set).filter(|set| !set.is_empty())
}

fn annotations(host: &HostConfig) -> Option<HashMap<String, String>> {
    let annotations = host.annotations.as_ref()?;
    let pairs = annotations.iter().map(|(name, value)| (name.clone(), value.clone()));
    Some(pairs.collect()).filter(|map: &HashMap<_, _>| !map.is_empty())
}
