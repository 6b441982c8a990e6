//! Holds the house: who may import whom, where `unsafe` lives, how modules open, and how large they grow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The import rings: a crate, and the crates of this workspace that it may use (ARCHITECTURE.md draws them).
const RINGS: &[(&str, &[&str])] = &[
    ("dhow-linux", &[]),
    ("dhow-proto", &[]),
    ("dhow-engine-api", &[]),
    ("dhow-runtime", &["dhow-linux"]),
    ("dhow-shim", &["dhow-linux", "dhow-proto"]),
    ("dhow-supervisor", &["dhow-linux", "dhow-proto"]),
    ("dhow-daemon", &["dhow-engine-api", "dhow-linux", "dhow-proto"]),
    ("dhow-cli", &["dhow-engine-api"]),
    ("dhow-integration-tests", &["dhow-engine-api", "dhow-proto"]),
];

/// What a single-threaded, synchronous binary must not link.
const ASYNCHRONOUS: &[&str] = &["tokio", "tonic", "hyper", "reqwest", "axum"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("run cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

#[test]
fn crates_import_only_inwards() {
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps", "--locked"]))
            .expect("JSON");
    let mut graph = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let imports: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| name.starts_with("dhow-"))
            .collect();
        graph.insert(package["name"].as_str().expect("name"), imports);
    }
    for (name, imports) in &graph {
        println!("{name} -> {}", imports.iter().copied().collect::<Vec<_>>().join(", "));
    }
    let expected: BTreeMap<&str, BTreeSet<&str>> =
        RINGS.iter().map(|(name, imports)| (*name, imports.iter().copied().collect())).collect();
    assert_eq!(graph, expected, "the import rings of ARCHITECTURE.md");
}

#[test]
fn runtime_and_shim_link_no_asynchronous_code() {
    for package in ["dhow-runtime", "dhow-shim"] {
        let tree =
            cargo(&["tree", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{lib}"]);
        for name in tree.lines() {
            assert!(!ASYNCHRONOUS.contains(&name.trim()), "{package} links {name}");
        }
    }
}

fn sources() -> Vec<(String, String)> {
    let listing =
        Command::new("git").args(["ls-files", "*.rs"]).current_dir(root()).output().expect("run git");
    let names = String::from_utf8(listing.stdout).expect("UTF-8 names");
    names
        .lines()
        .filter_map(|name| Some((name.to_owned(), std::fs::read_to_string(root().join(name)).ok()?)))
        .collect()
}

#[test]
fn unsafe_code_stays_in_the_kernel_boundary() {
    for (name, text) in sources() {
        if name.starts_with("runtime/linux/") || name == "integration-tests/tests/workspace.rs" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(
                !code.contains("unsafe {") && !code.contains("unsafe fn"),
                "{name}:{}: {line}",
                number + 1
            );
            assert!(!code.contains("libc::"), "{name}:{}: only dhow-linux names libc: {line}", number + 1);
        }
    }
}

#[test]
fn modules_say_what_they_own_and_stay_readable() {
    for (name, text) in sources() {
        assert!(text.starts_with("//!"), "{name} does not open with //!");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let lines = code.lines().count();
        assert!(lines <= 800, "{name} has {lines} lines: is this one room or several?");
        for room in ["utils", "common", "helpers", "misc"] {
            assert!(!name.split(['/', '.']).any(|part| part == room), "{name}: a dumping ground by name");
        }
    }
}

#[test]
fn every_proof_of_the_runtime_spec_exists() {
    let table = std::fs::read_to_string(root().join("docs/runtime-spec.md")).expect("the table");
    let mut proofs = 0;
    for (path, name) in table.split('`').filter_map(|word| word.split_once(".rs::")) {
        let file = if path.contains('/') {
            root().join(format!("{path}.rs"))
        } else {
            root().join(format!("integration-tests/tests/runtime/{path}.rs"))
        };
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(text.contains(&format!("fn {name}(")), "{path}.rs::{name} proves nothing: it is not there");
        proofs += 1;
    }
    assert!(proofs > 60, "the table lost its proofs: {proofs} are left");
}
