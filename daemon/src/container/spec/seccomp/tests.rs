//! The profile against Docker's rules.

use oci_spec::runtime::{LinuxSeccompAction, LinuxSyscall};

use super::*;

fn rules_of<'a>(filter: &'a LinuxSeccomp, call: &str) -> Vec<&'a LinuxSyscall> {
    let rules = filter.syscalls().as_deref().unwrap_or_default();
    rules.iter().filter(|rule| rule.names().iter().any(|name| name == call)).collect()
}

fn default_with(capabilities: &[&str]) -> LinuxSeccomp {
    let capabilities: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
    filter(None, &capabilities, "6.1.0-12-amd64").expect("resolves").expect("a filter")
}

#[test]
fn clone3_is_hidden_without_admin_and_plain_with_it() {
    let confined = default_with(&[]);
    let rules = rules_of(&confined, "clone3");
    assert_eq!(rules.len(), 1);
    assert_eq!((rules[0].action(), rules[0].errno_ret()), (LinuxSeccompAction::ScmpActErrno, Some(38)));

    let admin = default_with(&["CAP_SYS_ADMIN"]);
    assert_eq!(rules_of(&admin, "clone3")[0].action(), LinuxSeccompAction::ScmpActAllow);
    assert!(rules_of(&admin, "clone")[0].args().is_none());
    assert!(rules_of(&admin, "mount").len() == 1 && rules_of(&confined, "mount").is_empty());
}

#[test]
fn capabilities_open_their_calls() {
    assert!(rules_of(&default_with(&[]), "chroot").is_empty());
    assert_eq!(rules_of(&default_with(&["CAP_SYS_CHROOT"]), "chroot").len(), 1);
}

#[test]
fn an_old_kernel_loses_ptrace() {
    let count = |kernel| rules_of(&filter(None, &[], kernel).unwrap().unwrap(), "ptrace").len();
    assert_eq!((count("4.7.9"), count("4.8"), count("6.18.1")), (0, 1, 1));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn this_machine_gets_its_three_architectures() {
    let names = serde_json::to_value(default_with(&[]).architectures()).expect("serialises");
    assert_eq!(names, serde_json::json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]));
}

#[test]
fn a_given_profile_is_taken_with_nulls_and_old_names() {
    let document = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":null,
        "syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO","args":null,"includes":{},"excludes":null},
                    {"names":["chown"],"action":"SCMP_ACT_KILL","includes":{"caps":["CAP_CHOWN"]}}]}"#;
    let filter = filter(Some(document), &[], "6.1").expect("resolves").expect("a filter");
    assert_eq!(filter.default_action(), LinuxSeccompAction::ScmpActAllow);
    assert_eq!(rules_of(&filter, "mkdir")[0].action(), LinuxSeccompAction::ScmpActErrno);
    assert!(rules_of(&filter, "chown").is_empty());
}

#[test]
fn an_empty_profile_is_no_filter_and_contradictions_are_errors() {
    assert!(filter(Some("{}"), &[], "6.1").expect("resolves").is_none());
    let both = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
        "archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#;
    assert!(matches!(filter(Some(both), &[], "6.1"), Err(ProfileError::Both(..))));
    assert!(matches!(filter(Some("{"), &[], "6.1"), Err(ProfileError::Decode(_))));
}
