//! Pull and unpack from a registry on loopback, against a stock containerd.

use std::process::Command;
use std::time::Instant;

use dhow_integration_tests::image;
use dhow_integration_tests::peers::{Containerd, Release};
use dhow_integration_tests::process::{call, run};
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::stack::Stack;
use dhow_integration_tests::supervisor::Supervisor;

use crate::measure::{Contender, compare};

pub(crate) fn bench() {
    let registry = Registry::start();
    let reference = image::push("debian", &registry.address());
    let size = call("du", &["-sm", image::layout().to_str().expect("UTF-8")]).ok();
    let megabytes: f64 = size.split_whitespace().next().and_then(|size| size.parse().ok()).unwrap_or(1.0);
    println!("a Debian 12 root in 3 gzip layers; {megabytes} MB compressed");
    let ours = Supervisor::start();
    let stack = Stack::start();
    let release = Release::newest();
    let stock = Containerd::start_release(release.clone());
    // One `ctr` for both.
    let ctr_on_ours = |arguments: &[&str]| run(&mut release.ctr(&ours.socket(), arguments));
    let reference = reference.as_str();
    let ctr = ["images", "pull", "--plain-http", reference];
    let remove = ["images", "rm", "--sync", reference];
    let dhow = pulled(
        "dhow",
        megabytes,
        || stack.dhow(&["pull", "-q", reference]).code == 0,
        || {
            stack.dhow(&["rmi", reference]);
        },
    );
    let through_ctr = pulled(
        "ctr+dhow",
        megabytes,
        || ctr_on_ours(&ctr).code == 0,
        || {
            ctr_on_ours(&remove);
        },
    );
    let containerd = pulled(
        "ctr+containerd",
        megabytes,
        || stock.ctr(&ctr).code == 0,
        || {
            stock.ctr(&remove);
        },
    );
    compare("pull and unpack, compressed", "MB/s", 3, vec![dhow, through_ctr, containerd]);
}

/// A contender that is timed until the image is there; removing it again is not its merit or fault.
fn pulled<'a>(
    name: &'static str,
    megabytes: f64,
    pull: impl Fn() -> bool + 'a,
    remove: impl Fn() + 'a,
) -> Contender<'a> {
    Contender::measured(name, move || {
        let begin = Instant::now();
        let pulled = pull();
        let elapsed = begin.elapsed();
        remove();
        // What is removed in the background must not burden whoever pulls next.
        let settled = Command::new("sync").status().is_ok();
        (pulled && settled).then(|| megabytes / elapsed.as_secs_f64())
    })
}
