//! Sysctls that belong to a namespace may be set, and only when the container has that namespace.

use std::os::unix::fs::MetadataExt;

use super::Invalid;
use crate::spec::{NamespaceKind, Spec};

const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The name with dots as separators. With `/` as the first separator the two have changed places.
fn dotted(name: &str) -> String {
    if name.find(['.', '/']).is_some_and(|first| name.as_bytes().get(first) == Some(&b'/')) {
        swapped(name)
    } else {
        name.to_owned()
    }
}

/// The path below `/proc/sys`.
pub(crate) fn path(name: &str) -> String {
    swapped(&dotted(name))
}

fn swapped(name: &str) -> String {
    let swap = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swap).collect()
}

/// Checks the spec's list.
pub(super) fn check(spec: &Spec) -> Result<(), Invalid> {
    for name in spec.linux.sysctl.keys() {
        check_one(&dotted(name), spec)?;
    }
    Ok(())
}

fn check_one(name: &str, spec: &Spec) -> Result<(), Invalid> {
    if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        if spec.has(NamespaceKind::Ipc) {
            return Ok(());
        }
        return Invalid::rule(format!("sysctl {name:?} is not allowed in the hosts ipc namespace"));
    }
    if name.starts_with("net.") {
        if in_host_network(spec)? {
            return Invalid::rule(format!("sysctl {name:?} not allowed in host network namespace"));
        }
        return Ok(());
    }
    if spec.has(NamespaceKind::Uts) {
        match name {
            "kernel.domainname" => return Ok(()),
            "kernel.hostname" => {
                let text =
                    format!("sysctl {name:?} is not allowed as it conflicts with the OCI \"hostname\" field");
                return Invalid::rule(text);
            }
            _ => {}
        }
    }
    if name.starts_with("user.") {
        if spec.has(NamespaceKind::User) {
            return Ok(());
        }
        return Invalid::rule(format!("setting ucounts without a user namespace not allowed: {name}"));
    }
    Invalid::rule(format!("sysctl {name:?} is not in a separate kernel namespace"))
}

fn in_host_network(spec: &Spec) -> Result<bool, Invalid> {
    let Some(network) = spec.namespace(NamespaceKind::Network) else { return Ok(true) };
    if network.path.is_empty() {
        return Ok(false);
    }
    let identity = |path: &str| {
        std::fs::metadata(path)
            .map(|file| (file.dev(), file.ino()))
            .map_err(|source| Invalid::Path { what: format!("invalid netns path: stat {path}"), source })
    };
    Ok(identity(&network.path)? == identity("/proc/self/ns/net")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_mean_the_same() {
        assert_eq!(dotted("net/ipv4/conf/eno2.100.rp_filter"), "net.ipv4.conf.eno2/100/rp_filter");
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eno2.100/rp_filter"), "net/ipv4/conf/eno2.100/rp_filter");
    }
}
