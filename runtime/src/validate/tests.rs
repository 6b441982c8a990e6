//! Configurations of any kind are refused or taken, never a reason to fall over.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::validate;
use crate::spec::Spec;

fn check(config: Value) -> Result<(), String> {
    let spec: Spec = serde_json::from_value(config).map_err(|error| error.to_string())?;
    validate(&spec, Path::new("/"), false).map(drop).map_err(|error| error.to_string())
}

fn with(pointer: &str, value: Value) -> Value {
    let mut config = json!({
        "ociVersion": "1.3.0",
        "root": {"path": "tmp"},
        "process": {"cwd": "/", "args": ["true"]},
        "linux": {"namespaces": [{"type": "mount"}, {"type": "uts"}]},
    });
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = config.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.insert(name.to_owned(), value);
    config
}

#[test]
fn the_plain_one_is_taken() {
    check(with("/hostname", json!("h"))).expect("valid");
}

#[test]
fn what_runc_refuses_is_refused_in_its_words() {
    for (pointer, value, text) in [
        ("/process", json!(null), "process property must not be empty"),
        ("/root", json!(null), "root must be specified"),
        ("/process/cwd", json!(""), "Cwd property must not be empty"),
        ("/process/cwd", json!("a"), "Cwd must be an absolute path"),
        ("/process/args", json!([]), "args must not be empty"),
        (
            "/linux/namespaces",
            json!([{"type": "uts"}, {"type": "uts"}]),
            "malformed spec file: duplicated ns",
        ),
        (
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
            "user namespace isn't enabled",
        ),
        ("/linux/sysctl", json!({"vm.overcommit_memory": "1"}), "is not in a separate kernel namespace"),
        ("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}), "not allowed in host network namespace"),
        ("/linux/sysctl", json!({"kernel.hostname": "x"}), "conflicts with the OCI \"hostname\" field"),
        ("/linux/timeOffsets", json!({"boottime": {"secs": 1}}), "time namespace isn't enabled"),
        ("/linux/rootfsPropagation", json!("odd"), "rootfsPropagation=odd is not supported"),
    ] {
        let refusal = check(with(pointer, value)).expect_err(text);
        assert!(refusal.contains(text), "{refusal} should say {text}");
    }
}

/// Words and numbers as configurations have them, and as they should not.
fn any_leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(1e300)),
        prop::sample::select(vec![
            "",
            "/",
            "..",
            "tmp",
            "\0",
            "mount",
            "user",
            "SCHED_FIFO",
            "bind",
            "idmap",
            "c",
            "rwm"
        ])
        .prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let names = [
        "root",
        "path",
        "process",
        "cwd",
        "args",
        "user",
        "uid",
        "capabilities",
        "rlimits",
        "scheduler",
        "policy",
        "nice",
        "linux",
        "namespaces",
        "type",
        "mounts",
        "destination",
        "options",
        "source",
        "sysctl",
        "resources",
        "memory",
        "limit",
        "pids",
        "devices",
        "seccomp",
        "defaultAction",
        "uidMappings",
        "size",
        "timeOffsets",
        "hooks",
    ];
    any_leaf().prop_recursive(4, 48, 6, move |inner| {
        let key = prop::sample::select(names.to_vec()).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..6).prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_has_an_answer(config in any_value()) {
        drop(check(config));
    }

    #[test]
    fn any_part_has_an_answer(
        pointer in prop::sample::select(vec![
            "/root", "/process", "/mounts", "/hooks", "/annotations", "/hostname", "/process/user", "/process/args",
            "/process/capabilities", "/process/rlimits", "/process/scheduler", "/linux/namespaces", "/linux/sysctl",
            "/linux/resources", "/linux/uidMappings", "/linux/devices", "/linux/seccomp", "/linux/timeOffsets",
        ]),
        value in any_value(),
    ) {
        drop(check(with(pointer, value)));
    }
}
