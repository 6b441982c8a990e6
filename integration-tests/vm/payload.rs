//! The disk with what runs: binaries under test, the tests' executables, and the job that starts them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dhow_integration_tests::binaries;
use serde_json::Value;

use crate::image::succeed;
use crate::options::{Boot, Job, Test};

/// Makes the disk of a boot in `work`.
pub(crate) fn make(boot: &Boot, work: &Path) -> PathBuf {
    let folder = match &boot.job {
        Job::Folder(folder) => folder.clone(),
        Job::Tests(tests) => {
            let folder = work.join("payload");
            fill(&folder, boot.cgroup.name(), tests);
            folder
        }
    };
    assert!(folder.join("job").exists(), "{} has no job", folder.display());
    let disk = work.join("payload.disk");
    let size = tree_size(&folder) * 5 / 4 + (64 << 20);
    fs::File::create(&disk).and_then(|file| file.set_len(size)).expect("make the payload disk");
    succeed(
        Command::new("mke2fs").args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]).arg(&folder).arg(&disk),
    );
    disk
}

fn fill(folder: &Path, cgroup: &str, tests: &[Test]) {
    let executables = executables(tests);
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).expect("make a folder");
    for name in ["dhow", "dhowd", "dhow-supervisor", "containerd-shim-dhow-v2", "dhow-runtime"] {
        // A run of one crate's tests needs only that crate's binary.
        if binaries::folder().join(name).exists() {
            fs::copy(binaries::folder().join(name), bin.join(name)).expect("copy a binary");
        }
    }
    let mut job = format!("#!/bin/sh\nexport DHOW_BIN=/payload/bin DHOW_VM={cgroup}\n");
    if let Some(peer) = std::env::var_os("RUNTIME") {
        fs::copy(peer, folder.join("peer")).expect("copy the peer");
        job.push_str("export RUNTIME=/payload/peer\n");
    }
    job.push_str("failed=0\n");
    for (Test { name, filters }, executable) in tests.iter().zip(&executables) {
        fs::copy(executable, folder.join(name)).expect("copy a test");
        let filters: String =
            filters.iter().map(|filter| format!(" '{}'", filter.replace('\'', "'\\''"))).collect();
        job.push_str(&format!("/payload/{name}{filters} || failed=$((failed + 1))\n"));
    }
    job.push_str("exit $failed\n");
    fs::write(folder.join("job"), job).expect("write the job");
    fs::set_permissions(folder.join("job"), fs::Permissions::from_mode(0o755)).expect("make it executable");
}

/// Builds the tests, with this program's own profile, and says where they are.
fn executables(tests: &[Test]) -> Vec<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "test",
        "--locked",
        "--no-run",
        "--message-format=json",
        "--package=dhow-integration-tests",
    ]);
    command.args(tests.iter().map(|test| format!("--test={}", test.name)));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().expect("run cargo");
    assert!(output.status.success(), "the tests are built");
    let messages = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let artifacts: Vec<Value> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let path = |test: &Test| {
        let found = artifacts.iter().find(|artifact| {
            artifact["target"]["name"] == test.name.as_str() && artifact["target"]["kind"][0] == "test"
        });
        PathBuf::from(found.and_then(|artifact| artifact["executable"].as_str()).expect("an executable"))
    };
    tests.iter().map(path).collect()
}

fn tree_size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("list the payload").flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => 4096 + tree_size(&entry.path()),
            Ok(data) => 4096 + data.len(),
            Err(_) => 4096,
        })
        .sum()
}
