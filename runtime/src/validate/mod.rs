//! What a configuration may not ask for. Pure but for a few looks at the host; the texts are runc's.

mod seccomp;
mod sysctl;

use std::path::{Path, PathBuf};

use crate::hook::Moment;
use crate::init::number_list;
use crate::resctrl::Resctrl;
use crate::rootfs::{Options, propagation};
use crate::spec::{NamespaceKind, Process, Spec};

pub(crate) use sysctl::path as sysctl_path;

/// A configuration that cannot become a container.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Invalid {
    /// A rule of its own.
    #[error("{0}")]
    Rule(String),
    /// A path that must exist.
    #[error("{what}")]
    Path {
        /// Which, and why it is looked at.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl Invalid {
    fn rule<T>(text: impl Into<String>) -> Result<T, Self> {
        Err(Self::Rule(text.into()))
    }
}

/// Checks the whole document; gives the absolute path of the root file system.
pub(crate) fn validate(spec: &Spec, bundle: &Path, no_pivot: bool) -> Result<PathBuf, Invalid> {
    version(&spec.oci_version)?;
    process(spec.process.as_ref())?;
    hooks(spec)?;
    if spec.annotations.contains_key("") {
        return Invalid::rule("an annotation has an empty key");
    }
    let rootfs = rootfs(spec, bundle)?;
    namespaces(spec)?;
    names(spec)?;
    net_devices(spec)?;
    sysctl::check(spec)?;
    seccomp::check(spec.linux.seccomp.as_ref())?;
    mounts(spec)?;
    root_propagation(spec, no_pivot)?;
    if let Some(process) = &spec.process {
        scheduler(process)?;
    }
    Ok(rootfs)
}

/// A version is three numbers, and what may follow them; another first number would be another specification.
fn version(version: &str) -> Result<(), Invalid> {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<Option<u32>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_slice() {
        [Some(1), Some(_), Some(_)] => Ok(()),
        _ => Invalid::rule(format!("unsupported ociVersion {version:?}: 1.x.y is understood")),
    }
}

fn hooks(spec: &Spec) -> Result<(), Invalid> {
    let Some(hooks) = &spec.hooks else { return Ok(()) };
    for moment in Moment::ALL {
        for (index, hook) in moment.of(hooks).iter().enumerate() {
            let name = moment.name();
            if !hook.path().is_absolute() {
                return Invalid::rule(format!("path of {name} hook #{index} is not absolute"));
            }
            if hook.timeout().is_some_and(|seconds| seconds <= 0) {
                return Invalid::rule(format!("timeout of {name} hook #{index} is not positive"));
            }
        }
    }
    Ok(())
}

/// Checks a `process` object, also that of an exec.
pub(crate) fn process(process: Option<&Process>) -> Result<&Process, Invalid> {
    let Some(process) = process else { return Invalid::rule("process property must not be empty") };
    if process.cwd.is_empty() {
        return Invalid::rule("Cwd property must not be empty");
    }
    if !process.cwd.starts_with('/') {
        return Invalid::rule("Cwd must be an absolute path");
    }
    if process.args.is_empty() {
        return Invalid::rule("args must not be empty");
    }
    for (place, limit) in process.rlimits.iter().enumerate() {
        if process.rlimits.iter().take(place).any(|other| other.kind == limit.kind) {
            return Invalid::rule(format!("rlimit {} is given twice", limit.kind));
        }
    }
    affinity(process)?;
    if !process.selinux_label.is_empty() && !Path::new("/sys/fs/selinux").join("enforce").exists() {
        return Invalid::rule(
            "selinux label is specified in config, but selinux is disabled or not supported",
        );
    }
    Ok(process)
}

/// Only an exec is going to use it; that is too late to find out.
fn affinity(process: &Process) -> Result<(), Invalid> {
    let Some(affinity) = &process.exec_cpu_affinity else { return Ok(()) };
    for (name, list) in [("Initial", &affinity.initial), ("Final", &affinity.last)] {
        if !list.is_empty() && number_list(list).is_none_or(|cpus| cpus.is_empty()) {
            return Invalid::rule(format!("bad CPUAffinity.{name}: {list:?}"));
        }
    }
    Ok(())
}

fn rootfs(spec: &Spec, bundle: &Path) -> Result<PathBuf, Invalid> {
    let Some(root) = &spec.root else { return Invalid::rule("root must be specified") };
    let path = bundle.join(&root.path);
    let canonical = std::fs::canonicalize(&path).map_err(|source| Invalid::Path {
        what: format!("invalid rootfs: stat {}", path.display()),
        source,
    })?;
    // `components` drops what `.` and doubled slashes add; a link or `..` would still differ.
    if path.components().collect::<PathBuf>() != canonical && clean(&path) != canonical {
        return Invalid::rule("invalid rootfs: not an absolute path, or a symlink");
    }
    Ok(canonical)
}

fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            other => clean.push(other),
        }
    }
    clean
}

fn namespaces(spec: &Spec) -> Result<(), Invalid> {
    let linux = &spec.linux;
    for (place, namespace) in linux.namespaces.iter().enumerate() {
        if linux.namespaces.iter().take(place).any(|other| other.kind == namespace.kind) {
            let (kind, path) = (namespace.kind.name(), &namespace.path);
            return Invalid::rule(format!("malformed spec file: duplicated ns {{{kind:?} {path:?}}}"));
        }
        if !namespace.path.is_empty() {
            std::fs::symlink_metadata(&namespace.path).map_err(|source| Invalid::Path {
                what: format!("namespace path: lstat {}", namespace.path),
                source,
            })?;
        }
    }
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    match spec.namespace(NamespaceKind::User) {
        Some(user) if user.path.is_empty() && !mapped => {
            return Invalid::rule(
                "user namespaces enabled, but no namespace path to join nor mappings to apply specified",
            );
        }
        None if mapped => {
            return Invalid::rule(
                "user namespace mappings specified, but user namespace isn't enabled in the config",
            );
        }
        _ => {}
    }
    match (spec.namespace(NamespaceKind::Time), linux.time_offsets.is_some()) {
        (None, true) => {
            Invalid::rule("time namespace offsets specified, but time namespace isn't enabled in the config")
        }
        (Some(time), true) if !time.path.is_empty() => Invalid::rule(
            "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one",
        ),
        _ => Ok(()),
    }
}

fn names(spec: &Spec) -> Result<(), Invalid> {
    let own_uts = spec.has(NamespaceKind::Uts);
    if !spec.hostname.is_empty() && !own_uts {
        return Invalid::rule("unable to set hostname without a private UTS namespace");
    }
    if !spec.domainname.is_empty() && !own_uts {
        return Invalid::rule("unable to set domainname without a private UTS namespace");
    }
    let hides = !spec.linux.masked_paths.is_empty() || !spec.linux.readonly_paths.is_empty();
    if hides && !spec.has(NamespaceKind::Mount) {
        return Invalid::rule("unable to restrict sys entries without a private MNT namespace");
    }
    let hidden = spec.linux.masked_paths.iter().chain(&spec.linux.readonly_paths);
    if let Some(relative) = hidden.clone().find(|path| !path.starts_with('/')) {
        return Invalid::rule(format!("masked or read-only path {relative:?} is not absolute"));
    }
    if let Some(asked) = &spec.linux.intel_rdt {
        Resctrl::check(Resctrl::find().as_ref(), asked).map_err(|error| Invalid::Rule(error.to_string()))?;
    }
    Ok(())
}

fn net_devices(spec: &Spec) -> Result<(), Invalid> {
    let devices = &spec.linux.net_devices;
    if devices.is_empty() {
        return Ok(());
    }
    if !spec.has(NamespaceKind::Network) {
        return Invalid::rule("unable to move network devices without a NET namespace");
    }
    if !rustix::process::geteuid().is_root() {
        return Invalid::rule("network devices are not supported for rootless containers");
    }
    let names = devices.iter().flat_map(|(name, device)| [name, &device.name].into_iter().zip([true, false]));
    for (name, _) in names.filter(|(name, required)| *required || !name.is_empty()) {
        if !is_device_name(name) {
            return Invalid::rule(format!("invalid network device name {name:?}"));
        }
    }
    Ok(())
}

/// As the kernel has it (`dev_valid_name`).
fn is_device_name(name: &str) -> bool {
    let length = (1..16).contains(&name.len());
    length
        && name != "."
        && name != ".."
        && !name.contains(['/', ':', '\0'])
        && !name.contains(char::is_whitespace)
}

fn mounts(spec: &Spec) -> Result<(), Invalid> {
    for mount in &spec.mounts {
        let refuse = |reason: &str| Invalid::rule(format!("invalid mount {mount:?}: {reason}"));
        let options = Options::parse(&mount.options);
        let mapped =
            options.mapped.is_some() || !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
        if options.bind.is_some() && !options.data.is_empty() {
            return refuse("bind mounts cannot have any filesystem-specific options applied");
        }
        if mapped && options.bind.is_none() {
            return refuse("id-mapped mounts are only supported for bind-mounts");
        }
        let both = mount.uid_mappings.is_empty() == mount.gid_mappings.is_empty();
        let given = !mount.uid_mappings.is_empty() || spec.has(NamespaceKind::User);
        if mapped && !(both && given) {
            return refuse("id-mapped mounts must have both uid and gid mappings specified");
        }
        if [&mount.source, &mount.destination, &mount.fstype].iter().any(|text| text.contains('\0')) {
            return refuse("mount field contains null byte");
        }
        if !mount.destination.starts_with('/') {
            crate::log::warn(&format!(
                "mount destination {} is not absolute. Support for non-absolute mount destinations will be removed in a future release.",
                mount.destination
            ));
        }
    }
    Ok(())
}

fn root_propagation(spec: &Spec, no_pivot: bool) -> Result<(), Invalid> {
    let word = &spec.linux.rootfs_propagation;
    if word.is_empty() {
        return Ok(());
    }
    if propagation(word).is_none() {
        return Invalid::rule(format!("rootfsPropagation={word} is not supported"));
    }
    if no_pivot && word.ends_with("private") {
        return Invalid::rule("rootfsPropagation of [r]private is not safe without pivot_root");
    }
    Ok(())
}

fn scheduler(process: &Process) -> Result<(), Invalid> {
    let Some(scheduler) = &process.scheduler else { return Ok(()) };
    let policy = scheduler.policy.as_str();
    if policy.is_empty() {
        return Invalid::rule("scheduler policy is required");
    }
    if matches!(policy, "SCHED_OTHER" | "SCHED_BATCH") && !(-20..=19).contains(&scheduler.nice) {
        let nice = scheduler.nice;
        return Invalid::rule(format!("invalid scheduler.nice: {nice} when scheduler.policy is {policy}"));
    }
    if scheduler.priority != 0 && !matches!(policy, "SCHED_FIFO" | "SCHED_RR") {
        return Invalid::rule("scheduler.priority can only be specified for SchedFIFO or SchedRR policy");
    }
    if policy != "SCHED_DEADLINE" && (scheduler.runtime, scheduler.deadline, scheduler.period) != (0, 0, 0) {
        return Invalid::rule(
            "scheduler runtime/deadline/period can only be specified for SchedDeadline policy",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
