//! Docker's seccomp profile document: OCI's, with conditions on capabilities, architecture and kernel.

use std::path::PathBuf;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
};
use serde::{Deserialize, Deserializer};

/// What conditions are judged against.
#[derive(Debug, Clone)]
pub(super) struct Situation<'a> {
    /// `CAP_…` names of the container's bounding set.
    pub(super) capabilities: &'a [String],
    /// Go's name of the architecture.
    pub(super) architecture: &'static str,
    /// The running kernel.
    pub(super) kernel: Kernel,
}

/// The first two numbers of a kernel release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kernel {
    pub(super) version: u32,
    pub(super) revision: u32,
}

/// A profile as written in JSON.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Profile {
    default_action: Option<LinuxSeccompAction>,
    default_errno_ret: Option<u32>,
    #[serde(deserialize_with = "null_is_empty")]
    architectures: Vec<Arch>,
    #[serde(deserialize_with = "null_is_empty")]
    arch_map: Vec<ArchMap>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    #[serde(deserialize_with = "null_is_empty")]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    sub_architectures: Vec<String>,
}

/// Calls and what happens to them, under conditions.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    #[serde(deserialize_with = "null_is_empty")]
    names: Vec<String>,
    name: Option<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(deserialize_with = "null_is_empty")]
    args: Vec<LinuxSeccompArg>,
    #[serde(deserialize_with = "null_is_empty")]
    includes: Condition,
    #[serde(deserialize_with = "null_is_empty")]
    excludes: Condition,
}

/// When a rule counts: `includes` wants all of it, `excludes` any of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) caps: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) arches: Vec<String>,
    pub(super) min_kernel: Option<Kernel>,
}

impl<'de> Deserialize<'de> for Kernel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("invalid kernel version {text:?}")))
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Kernel {
    /// The numbers at the head of `text`, such as `6.1.0-12-amd64` or `4.8`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Self { version: numbers.next()?.parse().ok()?, revision: numbers.next()?.parse().ok()? })
    }
}

impl Condition {
    pub(super) fn caps(names: &[&str]) -> Self {
        Self { caps: names.iter().map(ToString::to_string).collect(), ..Self::default() }
    }

    pub(super) fn arches(names: &[&str]) -> Self {
        Self { arches: names.iter().map(ToString::to_string).collect(), ..Self::default() }
    }

    fn all(&self, here: &Situation<'_>) -> bool {
        (self.arches.is_empty() || self.arches.iter().any(|arch| arch == here.architecture))
            && self.caps.iter().all(|cap| here.capabilities.contains(cap))
            && self.min_kernel.is_none_or(|kernel| here.kernel >= kernel)
    }

    fn any(&self, here: &Situation<'_>) -> bool {
        self.arches.iter().any(|arch| arch == here.architecture)
            || self.caps.iter().any(|cap| here.capabilities.contains(cap))
            || self.min_kernel.is_some_and(|kernel| here.kernel >= kernel)
    }
}

impl Rule {
    pub(super) fn allow(calls: &str) -> Self {
        let names = calls.split_whitespace().map(str::to_owned).collect();
        Self { names, action: LinuxSeccompAction::ScmpActAllow, ..Self::default() }
    }

    pub(super) fn refuse(calls: &str, errno: u32) -> Self {
        Self { action: LinuxSeccompAction::ScmpActErrno, errno_ret: Some(errno), ..Self::allow(calls) }
    }

    pub(super) fn with(mut self, argument: LinuxSeccompArg) -> Self {
        self.args.push(argument);
        self
    }

    pub(super) fn when(mut self, condition: Condition) -> Self {
        self.includes = condition;
        self
    }

    pub(super) fn unless(mut self, condition: Condition) -> Self {
        self.excludes = condition;
        self
    }

    fn resolve(self, here: &Situation<'_>) -> Option<LinuxSyscall> {
        if !self.includes.all(here) || self.excludes.any(here) {
            return None;
        }
        let mut call = LinuxSyscall::default();
        call.set_names(self.names.into_iter().chain(self.name).collect())
            .set_action(self.action)
            .set_errno_ret(self.errno_ret)
            .set_args(Some(self.args).filter(|args| !args.is_empty()));
        Some(call)
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// Not a profile.
    #[error("Decoding seccomp profile failed")]
    Decode(#[from] serde_json::Error),
    /// Says the same thing twice.
    #[error("both '{0}' and '{1}' are specified in the seccomp profile, use either '{0}' or '{1}'")]
    Both(&'static str, &'static str),
    /// Calls without a default action.
    #[error("the seccomp profile lists system calls but no defaultAction")]
    NoDefault,
}

impl Profile {
    /// A profile that answers `errno` to whatever `rules` do not allow, for every architecture of this machine.
    pub(super) fn refusing(errno: u32, syscalls: Vec<Rule>) -> Self {
        let map = |architecture: &str, sub: &[&str]| ArchMap {
            architecture: architecture.to_owned(),
            sub_architectures: sub.iter().map(ToString::to_string).collect(),
        };
        Self {
            default_action: Some(LinuxSeccompAction::ScmpActErrno),
            default_errno_ret: Some(errno),
            arch_map: vec![
                map("SCMP_ARCH_X86_64", &["SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
                map("SCMP_ARCH_AARCH64", &["SCMP_ARCH_ARM"]),
                map("SCMP_ARCH_RISCV64", &[]),
                map("SCMP_ARCH_S390X", &["SCMP_ARCH_S390"]),
                map("SCMP_ARCH_PPC64LE", &[]),
            ],
            syscalls,
            ..Self::default()
        }
    }

    /// The OCI filter for this situation; `None` when the profile is empty, which means no filter.
    pub(super) fn resolve(self, here: &Situation<'_>) -> Result<Option<LinuxSeccomp>, ProfileError> {
        let Some(default) = self.default_action else {
            return if self.syscalls.is_empty() { Ok(None) } else { Err(ProfileError::NoDefault) };
        };
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err(ProfileError::Both("architectures", "archMap"));
        }
        if self.syscalls.iter().any(|rule| rule.name.is_some() && !rule.names.is_empty()) {
            return Err(ProfileError::Both("name", "names"));
        }
        let architectures = architectures(self.architectures, self.arch_map, here.architecture)?;
        let mut filter = LinuxSeccomp::default();
        filter
            .set_default_action(default)
            .set_default_errno_ret(self.default_errno_ret)
            .set_architectures(Some(architectures).filter(|list| !list.is_empty()))
            .set_flags(self.flags)
            .set_listener_path(self.listener_path)
            .set_listener_metadata(self.listener_metadata)
            .set_syscalls(Some(self.syscalls.into_iter().filter_map(|rule| rule.resolve(here)).collect()));
        Ok(Some(filter))
    }
}

fn architectures(named: Vec<Arch>, map: Vec<ArchMap>, here: &str) -> Result<Vec<Arch>, ProfileError> {
    let native = match here {
        "amd64" => "SCMP_ARCH_X86_64",
        "arm64" => "SCMP_ARCH_AARCH64",
        "arm" => "SCMP_ARCH_ARM",
        "riscv64" => "SCMP_ARCH_RISCV64",
        "s390x" => "SCMP_ARCH_S390X",
        "ppc64le" => "SCMP_ARCH_PPC64LE",
        _ => return Ok(named),
    };
    let Some(found) = map.into_iter().find(|entry| entry.architecture == native) else {
        return Ok(named);
    };
    let names = std::iter::once(found.architecture).chain(found.sub_architectures);
    Ok(names.map(|name| serde_json::from_value(name.into())).collect::<Result<_, _>>()?)
}
