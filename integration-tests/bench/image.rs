//! Pull and unpack from a registry on loopback, against a stock containerd.

use std::time::Instant;

use dhow_integration_tests::image;
use dhow_integration_tests::peers::Containerd;
use dhow_integration_tests::process::call;
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::stack::Stack;
use dhow_integration_tests::supervisor::Supervisor;

use crate::measure::{Contender, compare};

pub(crate) fn bench() {
    let registry = Registry::start();
    let reference = image::push("debian", &registry.address());
    let size = call("du", &["-sm", image::layout().to_str().expect("UTF-8")]).ok();
    println!(
        "a Debian 12 root in 3 gzip layers; {} MB compressed",
        size.split_whitespace().next().unwrap_or_default()
    );
    let ours = Supervisor::start();
    let stack = Stack::start();
    let stock = Containerd::start();
    let reference = reference.as_str();
    let dhow = Contender::timed("dhow", || {
        let pulled = stack.dhow(&["pull", "-q", reference]).code == 0;
        pulled && stack.dhow(&["rmi", reference]).code == 0
    });
    let through_ctr = Contender::timed("ctr+dhow", || {
        ours.ctr(&["images", "pull", "--plain-http", reference]).code == 0
            && ours.ctr(&["images", "rm", "--sync", reference]).code == 0
    });
    let containerd = Contender::measured("ctr+containerd", || {
        let begin = Instant::now();
        let pulled = stock.ctr(&["images", "pull", "--plain-http", reference]).code == 0
            && stock.ctr(&["images", "rm", "--sync", reference]).code == 0;
        pulled.then(|| crate::measure::milliseconds(begin.elapsed()))
    });
    compare("pull, unpack, remove", "ms", 5, vec![dhow, through_ctr, containerd]);
}
