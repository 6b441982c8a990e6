//! Capabilities: Docker's default set, and what `--cap-add`, `--cap-drop` and `--privileged` make of it.

/// What a container gets when nothing is said.
pub(super) const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Every capability by its kernel number.
const KNOWN: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// A capability that cannot be given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum CapabilityError {
    /// No kernel has it.
    #[error("unknown capability: {0:?}")]
    Unknown(String),
    /// This kernel, or this daemon, lacks it.
    #[error("capability not supported by your kernel or not available in the current environment: {0:?}")]
    Unavailable(String),
}

/// The capabilities that the bits of `mask` (as in `CapPrm` of `/proc/PID/status`) stand for.
pub(super) fn of_mask(mask: u64) -> Vec<String> {
    let set = KNOWN.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0);
    set.map(|(_, name)| (*name).to_owned()).collect()
}

/// The bounding set of a container. `available` is what the daemon has itself.
pub(super) fn bounding(
    add: &[String],
    drop: &[String],
    privileged: bool,
    available: &[String],
) -> Result<Vec<String>, CapabilityError> {
    let default = DEFAULT.map(str::to_owned);
    if privileged {
        return Ok(available.to_vec());
    }
    let drop = Named::parse(drop, available)?;
    let add = Named::parse(add, available)?;
    Ok(match (add.all, drop.all) {
        (true, _) => available.iter().filter(|cap| !drop.names.contains(cap)).cloned().collect(),
        (false, true) => add.names,
        (false, false) => {
            let mut kept: Vec<_> = default.into_iter().filter(|cap| !drop.names.contains(cap)).collect();
            for name in add.names {
                if !kept.contains(&name) {
                    kept.push(name);
                }
            }
            kept
        }
    })
}

/// A list as the user wrote it: `ALL` apart from the rest, which is spelled as the kernel does.
struct Named {
    all: bool,
    names: Vec<String>,
}

impl Named {
    fn parse(list: &[String], available: &[String]) -> Result<Self, CapabilityError> {
        let mut parsed = Self { all: false, names: Vec::new() };
        for written in list {
            let upper = written.to_uppercase();
            if upper == "ALL" {
                parsed.all = true;
                continue;
            }
            let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
            if !KNOWN.contains(&name.as_str()) {
                return Err(CapabilityError::Unknown(name));
            }
            if !available.contains(&name) {
                return Err(CapabilityError::Unavailable(name));
            }
            parsed.names.push(name);
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> Result<Vec<String>, CapabilityError> {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        bounding(&owned(add), &owned(drop), false, &of_mask((1 << 41) - 1))
    }

    #[test]
    fn adds_and_drops_meet_the_default() {
        assert_eq!(set(&[], &[]).unwrap(), DEFAULT);
        assert_eq!(set(&["net_admin"], &["ALL"]).unwrap(), ["CAP_NET_ADMIN"]);
        let all_but_one = set(&["all"], &["CAP_SYS_ADMIN"]).unwrap();
        assert!(all_but_one.len() == 40 && !all_but_one.contains(&"CAP_SYS_ADMIN".to_owned()));
        let changed = set(&["SYS_TIME", "CHOWN"], &["mknod"]).unwrap();
        assert_eq!(changed.len(), 14);
        assert!(changed.contains(&"CAP_SYS_TIME".to_owned()) && !changed.contains(&"CAP_MKNOD".to_owned()));
    }

    #[test]
    fn what_nobody_can_give_is_refused() {
        assert_eq!(set(&["FLY"], &[]), Err(CapabilityError::Unknown("CAP_FLY".into())));
        let without = bounding(&["SYS_RESOURCE".into()], &[], false, &of_mask(1));
        assert_eq!(without, Err(CapabilityError::Unavailable("CAP_SYS_RESOURCE".into())));
    }

    #[test]
    fn privileged_is_all_that_the_daemon_has() {
        let have = of_mask(0b1000_0001);
        assert_eq!(bounding(&[], &[], true, &have).unwrap(), ["CAP_CHOWN", "CAP_SETUID"]);
    }
}
