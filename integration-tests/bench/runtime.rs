//! The runtimes on one bundle: run, create+start+delete, exec, and the peak memory of create.

use std::path::{Path, PathBuf};
use std::process::Command;

use dhow_integration_tests::binaries;
use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::host::Host;

use crate::measure::{Contender, compare, succeeds};

const ROUNDS: usize = 40;

pub(crate) fn bench() {
    let host = Host::new();
    let mut bundle = Bundle::new(&host, "bench", "");
    bundle.spec["process"]["args"] = serde_json::json!(["/bin/true"]);
    bundle.save();
    let sleeper = Bundle::new(&host, "sleeper", "exec sleep 100000");
    let runtimes = runtimes();
    let call = |runtime: &Path, arguments: &[&str]| {
        let root = host.path(runtime.file_name().expect("a name"));
        succeeds(Command::new(runtime).arg("--root").arg(root).args(arguments))
    };
    let folder = bundle.folder().to_str().expect("UTF-8");
    compare(
        "run /bin/true",
        "ms",
        ROUNDS,
        each(&runtimes, &|runtime, name| call(runtime, &["run", "-b", folder, name])),
    );
    let life = |runtime: &Path, name: &str| {
        call(runtime, &["create", "-b", folder, name])
            && call(runtime, &["start", name])
            && call(runtime, &["delete", "-f", name])
    };
    compare("create + start + delete -f", "ms", ROUNDS, each(&runtimes, &life));
    for (name, runtime) in &runtimes {
        call(runtime, &["run", "-d", "-b", sleeper.folder().to_str().expect("UTF-8"), name]);
    }
    compare(
        "exec true",
        "ms",
        ROUNDS,
        each(&runtimes, &|runtime, name| call(runtime, &["exec", name, "true"])),
    );
    for (name, runtime) in &runtimes {
        call(runtime, &["delete", "-f", name]);
    }
    let peak = |(name, path): &(&'static str, PathBuf)| {
        let (name, path) = (*name, path.clone());
        let (host, call) = (&host, &call);
        Contender::measured(name, move || {
            let root = host.path(path.file_name()?);
            let mut time = Command::new("/usr/bin/time");
            time.args(["-f", "%M"]).arg(&path).arg("--root").arg(root).args(["create", "-b", folder, name]);
            let log = host.path("time");
            let errors = std::fs::File::create(&log).ok()?;
            let created = time.stdout(std::process::Stdio::null()).stderr(errors).status().ok()?.success();
            call(&path, &["delete", "-f", name]);
            let text = std::fs::read_to_string(log).ok()?;
            created.then(|| {
                text.lines().last().and_then(|line| line.parse::<f64>().ok()).map(|kb| kb / 1024.0)
            })?
        })
    };
    if Path::new("/usr/bin/time").exists() {
        compare("peak memory of create", "MB", 5, runtimes.iter().map(peak).collect());
    }
    let size = std::fs::metadata(binaries::runtime()).map(|meta| meta.len()).unwrap_or_default();
    println!("size of the binary: {:.1} MB", megabytes(size));
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn each<'a>(
    runtimes: &'a [(&'static str, PathBuf)],
    run: &'a dyn Fn(&Path, &str) -> bool,
) -> Vec<Contender<'a>> {
    runtimes.iter().map(|(name, path)| Contender::timed(name, move || run(path, name))).collect()
}

/// Ours, and the installed peers that start a container on this host at all.
fn runtimes() -> Vec<(&'static str, PathBuf)> {
    let mut found = vec![("dhow", binaries::runtime())];
    for peer in ["runc", "crun"] {
        if let Some(path) = binaries::in_path(peer) {
            found.push((peer, path));
        }
    }
    found
}
