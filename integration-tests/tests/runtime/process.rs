//! The process of a container: user, capabilities, limits, environment, no_new_privs, seccomp.

use dhow_integration_tests::runtime::Runtime;
use serde_json::json;

#[test]
fn user_groups_and_umask_are_set() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("user", "id -u; id -g; id -G; umask; echo $HOME");
    bundle.spec["process"]["user"] =
        json!({"uid": 1000, "gid": 1000, "additionalGids": [4, 5], "umask": 0o027});
    bundle.save();
    let output = runtime.run(&runtime.id("user"), &bundle).ok();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..2], ["1000", "1000"]);
    assert_eq!(lines[2].split(' ').collect::<std::collections::BTreeSet<_>>(), ["1000", "4", "5"].into());
    assert_eq!(lines[3..], ["0027", "/home"], "HOME comes from the container's passwd");
}

#[test]
fn capabilities_are_exactly_those_of_the_spec() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle("caps", "grep ^Cap /proc/self/status; grep NoNewPrivs /proc/self/status");
    let output = runtime.run(&runtime.id("caps"), &bundle).ok();
    // chown 0, kill 5, setgid 6, setuid 7, net_bind_service 10.
    let mask = 1_u64 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10;
    for (set, expected) in
        [("CapInh", 0), ("CapPrm", mask), ("CapEff", mask), ("CapBnd", mask), ("CapAmb", 0)]
    {
        assert!(output.contains(&format!("{set}:\t{expected:016x}")), "{set}: {output}");
    }
    assert!(output.contains("NoNewPrivs:\t1"), "{output}");
}

#[test]
fn a_user_keeps_ambient_capabilities() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("ambient", "grep ^Cap /proc/self/status");
    bundle.spec["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    for set in ["inheritable", "ambient"] {
        bundle.spec["process"]["capabilities"][set] = json!(["CAP_NET_BIND_SERVICE"]);
    }
    bundle.save();
    let output = runtime.run(&runtime.id("ambient"), &bundle).ok();
    for set in ["CapEff", "CapAmb"] {
        assert!(output.contains(&format!("{set}:\t{:016x}", 1 << 10)), "{output}");
    }
}

#[test]
fn rlimits_are_set() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("rlimit", "ulimit -n; ulimit -c");
    bundle.spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("rlimit"), &bundle).ok(), "100\n0");
}

#[test]
fn nothing_of_the_host_is_inherited() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle("fds", "ls /proc/self/fd; env | cut -d= -f1 | sort");
    let output = runtime.run(&runtime.id("fds"), &bundle).ok();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..4], ["0", "1", "2", "3"], "3 is the folder that ls reads");
    let names = ["HOME", "PATH", "PWD", "SHLVL", "TERM"];
    assert!(lines[4..].iter().all(|name| names.contains(name)), "{output}");
}

#[test]
fn seccomp_refuses_with_the_errno_of_the_profile() {
    let runtime = Runtime::new();
    let mut bundle =
        runtime.bundle("seccomp", "mkdir /tmp/x; chmod 700 /tmp; grep ^Seccomp: /proc/self/status");
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["no_such_syscall"], "action": "SCMP_ACT_ERRNO"}
        ]
    });
    bundle.save();
    let done = runtime.run(&runtime.id("seccomp"), &bundle).exits(0);
    assert_eq!(done.stdout.trim(), "Seccomp:\t2");
    assert!(done.stderr.contains("No space left on device"), "mkdir got ENOSPC: {}", done.stderr);
    assert!(done.stderr.contains("Operation not permitted"), "chmod got EPERM: {}", done.stderr);
}

#[test]
fn oom_score_and_sysctls_are_set() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("sysctl", "cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward");
    bundle.spec["process"]["oomScoreAdj"] = json!(500);
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1"});
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("sysctl"), &bundle).ok(), "500\n1");
}

/// A supervisor is spared when memory is short; what it starts in a container must not inherit that.
#[test]
fn an_exec_has_the_oom_score_of_its_container() {
    let runtime = Runtime::new();
    let id = runtime.id("score");
    let mut bundle = runtime.bundle("score", "sleep 1000");
    bundle.spec["process"]["oomScoreAdj"] = json!(321);
    bundle.save();
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    assert_eq!(runtime.call(&["exec", &id, "cat", "/proc/self/oom_score_adj"]).ok(), "321");
}
