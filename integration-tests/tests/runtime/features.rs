//! `features`: whatever the document says is recognised, the runtime takes.

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

fn features(runtime: &Runtime) -> Value {
    serde_json::from_str(&runtime.call(&["features"]).ok()).expect("JSON")
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word")).collect()
}

fn is_taken(runtime: &Runtime, what: &str, bundle: &mut Bundle, change: impl Fn(&mut Value)) {
    let before = bundle.spec.clone();
    change(&mut bundle.spec);
    bundle.save();
    let done = runtime.run(&runtime.id("taken"), bundle);
    assert_eq!(done.code, 0, "{what}: {}", done.stderr);
    bundle.spec = before;
}

#[test]
fn both_versions_are_taken() {
    let runtime = Runtime::new();
    let features = features(&runtime);
    let mut bundle = runtime.bundle("versions", "true");
    for key in ["ociVersionMin", "ociVersionMax"] {
        is_taken(&runtime, key, &mut bundle, |spec| spec["ociVersion"] = features[key].clone());
    }
    let number = |key: &str| -> Vec<u32> {
        let version = features[key].as_str().expect("a version");
        version.split(['.', '-']).take(3).map(|part| part.parse().expect("a number")).collect()
    };
    assert!(number("ociVersionMin") <= number("ociVersionMax"));
}

#[test]
fn the_document_has_only_known_properties() {
    let runtime = Runtime::new();
    let features = features(&runtime);
    let known = [
        "ociVersionMin",
        "ociVersionMax",
        "hooks",
        "mountOptions",
        "linux",
        "annotations",
        "potentiallyUnsafeConfigAnnotations",
    ];
    for key in features.as_object().expect("an object").keys() {
        assert!(known.contains(&key.as_str()), "{key}");
    }
    let linux = [
        "namespaces",
        "capabilities",
        "cgroup",
        "seccomp",
        "apparmor",
        "selinux",
        "intelRdt",
        "memoryPolicy",
        "mountExtensions",
        "netDevices",
    ];
    for key in features["linux"].as_object().expect("an object").keys() {
        assert!(linux.contains(&key.as_str()), "{key}");
    }
    assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
}

#[test]
fn its_hooks_and_namespaces_are_recognised() {
    let runtime = Runtime::new();
    let features = features(&runtime);
    assert_eq!(
        words(&features["hooks"]),
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    );
    let mut bundle = runtime.bundle("namespaces", "true");
    let known = words(&features["linux"]["namespaces"]);
    for kind in ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] {
        assert!(known.contains(&kind), "{kind}: {known:?}");
    }
    is_taken(&runtime, "all namespaces", &mut bundle, |spec| {
        spec["linux"]["namespaces"] = known.iter().map(|kind| json!({ "type": kind })).collect();
        for map in ["uidMappings", "gidMappings"] {
            spec["linux"][map] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        }
    });
}

#[test]
fn its_mount_options_are_recognised() {
    let runtime = Runtime::new();
    let features = features(&runtime);
    let mut bundle = runtime.bundle("options", "true");
    let source = runtime.host().folder("source");
    let all = words(&features["mountOptions"]);
    assert!(all.len() > 50, "{all:?}");
    for group in all.chunks(12) {
        is_taken(&runtime, &group.join(" "), &mut bundle, |spec| {
            for word in group.iter().filter(|word| !["remount", "idmap", "ridmap"].contains(word)) {
                let bind = matches!(*word, "bind" | "rbind")
                    || word.contains("private")
                    || word.contains("shared")
                    || word.contains("slave")
                    || word.contains("bindable")
                    || word.starts_with('r') && *word != "ro" && *word != "rw" && *word != "relatime";
                let (kind, options) =
                    if bind { ("bind", vec!["rbind", word]) } else { ("tmpfs", vec![*word]) };
                let mount = json!({"destination": format!("/m/{word}"), "type": kind, "source": source, "options": options});
                spec["mounts"].as_array_mut().expect("mounts").push(mount);
            }
        });
    }
}

#[test]
fn its_capabilities_are_recognised() {
    let runtime = Runtime::new();
    let features = features(&runtime);
    let mut bundle = runtime.bundle("capabilities", "true");
    let known = words(&features["linux"]["capabilities"]);
    assert!(known.len() >= 41 && known.iter().all(|name| name.starts_with("CAP_")), "{known:?}");
    bundle.spec["process"]["capabilities"] = json!({ "bounding": known });
    bundle.save();
    let done = runtime.run(&runtime.id("capabilities"), &bundle).exits(0);
    assert!(!done.stderr.contains("unknown"), "{}", done.stderr);
}

#[test]
fn its_seccomp_words_are_recognised() {
    let runtime = Runtime::new();
    let features = features(&runtime);
    let seccomp = &features["linux"]["seccomp"];
    assert_eq!(seccomp["enabled"], true);
    let mut bundle = runtime.bundle("seccomp", "true");
    for action in words(&seccomp["actions"]).into_iter().filter(|action| *action != "SCMP_ACT_NOTIFY") {
        is_taken(&runtime, action, &mut bundle, |spec| {
            spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["acct"], "action": action}]});
        });
    }
    is_taken(&runtime, "operators, architectures and flags", &mut bundle, |spec| {
        let operators = words(&seccomp["operators"]);
        let rules = operators.iter().map(|operator| {
            json!({"names": ["quotactl"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 77, "valueTwo": 77, "op": operator}]})
        });
        // A flag for the listener alone says nothing without one.
        let flags = words(&seccomp["supportedFlags"]);
        let flags: Vec<_> = flags.iter().filter(|flag| !flag.contains("WAIT_KILLABLE")).collect();
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags,
            "architectures": seccomp["archs"], "syscalls": rules.collect::<Vec<_>>()});
    });
}
