//! Mounts: Docker's default ones, and the user's upon them.

use std::collections::HashSet;
use std::path::PathBuf;

use oci_spec::runtime::Mount;
use serde::{Deserialize, Serialize};

use super::security::Security;
use super::{SpecError, SpecInput};
use crate::container::spec::namespace::Mode;

/// Where `--init` puts the init.
pub(super) const INIT_PATH: &str = "/sbin/docker-init";

/// One mount of a container, decided: what is left is to write it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountPlan {
    /// Absolute path in the container.
    pub(crate) destination: String,
    /// What is mounted there.
    pub(crate) content: Content,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// A file or folder of the host.
    Bind {
        /// Its path.
        source: PathBuf,
        /// Whether mounts below it come along.
        recursive: bool,
        /// Whether it can be written to.
        writable: Writable,
        /// `rprivate`, `rslave`, …; empty for the default.
        propagation: String,
    },
    /// A new tmpfs with these options.
    Tmpfs(Vec<String>),
}

/// Whether a bind can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Writable {
    /// Yes.
    Yes,
    /// No, and neither can mounts below it where the kernel can say so.
    No,
    /// No, but mounts below it can.
    NotTheTop,
    /// No, and fail when mounts below it cannot be refused too.
    NotAtAll,
}

/// A mount that cannot be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    /// The kernel is older than 5.12.
    #[error("mount {0}: recursive read-only mounts need Linux 5.12 or newer")]
    NoRecursiveReadOnly(String),
    /// Propagation that the source does not have.
    #[error("path {path} is mounted on {mount} but it is not a {wanted} mount")]
    NotPropagated {
        /// What was to be bound.
        path: PathBuf,
        /// The mount that it is on.
        mount: PathBuf,
        /// `shared` or `shared or slave`.
        wanted: &'static str,
    },
}

impl MountPlan {
    /// A file that the daemon made for the container, such as its `hosts`.
    pub(crate) fn file(destination: &str, source: PathBuf, writable: bool) -> Self {
        let content = Content::Bind {
            source,
            recursive: true,
            writable: if writable { Writable::Yes } else { Writable::No },
            propagation: "rprivate".to_owned(),
        };
        Self { destination: destination.to_owned(), content }
    }
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(ToString::to_string).collect()));
    mount
}

/// What every container has; the order matters, `/dev` comes before what is below it.
fn defaults(shm_size: i64) -> Vec<Mount> {
    let quiet = ["nosuid", "noexec", "nodev"];
    let shm = format!("size={shm_size}");
    vec![
        mount("/proc", "proc", "proc", &quiet),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/dev/mqueue", "mqueue", "mqueue", &quiet),
        mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm]),
    ]
}

pub(super) fn mounts(input: &SpecInput<'_>, security: &Security) -> Result<Vec<Mount>, SpecError> {
    let user: HashSet<&str> = input.mounts.iter().map(|plan| plan.destination.as_str()).collect();
    let mut mounts = defaults(input.host.shm_size);
    mounts.retain(|mount| {
        let destination = mount.destination().to_string_lossy();
        let covered = user.contains("/dev") && destination.starts_with("/dev/");
        let no_shm = destination == "/dev/shm" && Mode::parse(&input.host.ipc_mode) == Mode::None;
        !user.contains(&*destination) && !covered && !no_shm
    });
    if input.host.readonly_rootfs {
        mounts.iter_mut().filter(|mount| mount.destination().starts_with("/sys")).for_each(read_only);
    }
    if input.host.privileged {
        mounts.iter_mut().filter(|mount| mount.destination().as_os_str() == "/sys").for_each(writable);
    }
    if security.writable_cgroups.unwrap_or(input.host.privileged) {
        mounts.iter_mut().filter(|mount| mount.typ().as_deref() == Some("cgroup")).for_each(writable);
    }
    if input.host.init == Some(true) && input.namespaces.pid == super::Join::Private {
        mounts.push(init(input)?);
    }
    let mut plans: Vec<&MountPlan> = input.mounts.iter().collect();
    plans.sort_by_key(|plan| (plan.destination.matches('/').count(), plan.destination.as_str()));
    for plan in plans {
        mounts.push(plan.mount(input)?);
    }
    Ok(mounts)
}

fn init(input: &SpecInput<'_>) -> Result<Mount, SpecError> {
    let init = input.machine.init.as_ref().ok_or(SpecError::NoInit)?;
    Ok(mount(INIT_PATH, "bind", &init.to_string_lossy(), &["bind", "ro"]))
}

impl MountPlan {
    fn mount(&self, input: &SpecInput<'_>) -> Result<Mount, SpecError> {
        Ok(match &self.content {
            Content::Tmpfs(options) => {
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                mount(&self.destination, "tmpfs", "tmpfs", &options)
            }
            Content::Bind { source, recursive, writable, propagation } => {
                input.facts.check_propagation(source, propagation)?;
                let mut options = vec![if *recursive { "rbind" } else { "bind" }];
                options.extend(self.read_only(*writable, *recursive, input.machine.recursive_read_only)?);
                options.extend(Some(propagation.as_str()).filter(|text| !text.is_empty()));
                mount(&self.destination, "bind", &source.to_string_lossy(), &options)
            }
        })
    }

    fn read_only(
        &self,
        writable: Writable,
        recursive: bool,
        kernel_can: bool,
    ) -> Result<Option<&'static str>, MountError> {
        match writable {
            Writable::Yes => Ok(None),
            Writable::NotTheTop => Ok(Some("ro")),
            Writable::NotAtAll if !kernel_can => {
                Err(MountError::NoRecursiveReadOnly(self.destination.clone()))
            }
            Writable::No if !kernel_can || !recursive => Ok(Some("ro")),
            Writable::No | Writable::NotAtAll => Ok(Some("rro")),
        }
    }
}

/// How the root must propagate so that the user's binds can: `None` leaves the runtime's default.
pub(super) fn rootfs_propagation(plans: &[MountPlan]) -> Option<&'static str> {
    let has = |words: [&str; 2]| {
        plans.iter().any(|plan| {
            matches!(&plan.content, Content::Bind { propagation, .. } if words.contains(&propagation.as_str()))
        })
    };
    match (has(["shared", "rshared"]), has(["slave", "rslave"])) {
        (true, _) => Some("shared"),
        (false, true) => Some("rslave"),
        (false, false) => None,
    }
}

fn writable(mount: &mut Mount) {
    let options = mount.options().iter().flatten().filter(|option| *option != "ro").cloned().collect();
    mount.set_options(Some(options));
}

fn read_only(mount: &mut Mount) {
    let mut options: Vec<String> = mount.options().clone().unwrap_or_default();
    if !options.iter().any(|option| option == "ro") {
        options.push("ro".to_owned());
    }
    mount.set_options(Some(options));
}
