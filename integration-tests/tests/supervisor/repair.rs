//! A damaged metadata store: refused with the way out, and rebuilt.

use std::process::Command;

use dhow_integration_tests::process::run;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_integration_tests::{binaries, image, registry::Registry};

#[test]
fn a_store_with_flipped_bytes_is_refused_and_repaired() {
    let registry = Registry::start();
    let reference = image::push("busybox", &registry.address());
    let mut supervisor = Supervisor::start();
    supervisor.ctr(&["images", "pull", "--plain-http", &reference]).ok();
    supervisor.ctr(&["containers", "create", &reference, "box", "true"]).ok();
    let before = (supervisor.ctr(&["content", "ls"]).ok(), supervisor.ctr(&["snapshots", "ls"]).ok());
    // An orderly end writes the copy that a repair needs; the journal of the boot adds nothing to it.
    supervisor.stop();
    let store = supervisor.host().path("root/metadata.redb");
    let mut bytes = std::fs::read(&store).expect("read the store");
    // The pages in use are somewhere; a byte of every page is wrong.
    bytes.iter_mut().skip(4096 + 100).step_by(1024).for_each(|byte| *byte ^= 0x40);
    std::fs::write(&store, bytes).expect("damage the store");

    let command = |verb: &[&str]| {
        let mut command = Command::new(binaries::path("dhow-supervisor"));
        command.arg("--root").arg(supervisor.host().path("root"));
        command.arg("--state").arg(supervisor.host().path("state"));
        command.arg("--address").arg(supervisor.socket()).args(verb);
        run(&mut command)
    };
    let refused = command(&[]);
    assert!(refused.code != 0 && refused.stderr.contains("dhow-supervisor repair"), "{}", refused.stderr);
    let repaired = command(&["repair"]).ok();
    assert!(repaired.contains("put the damaged store aside"), "{repaired}");
    command(&["verify"]).ok();

    supervisor.launch();
    assert_eq!(supervisor.ctr(&["images", "ls", "-q"]).ok(), reference);
    assert_eq!(supervisor.ctr(&["containers", "ls", "-q"]).ok(), "box");
    let after = (supervisor.ctr(&["content", "ls"]).ok(), supervisor.ctr(&["snapshots", "ls"]).ok());
    assert_eq!(after.0.lines().count(), before.0.lines().count(), "{}\n{}", before.0, after.0);
    assert_eq!(after.1, before.1);
    supervisor.ctr(&["run", "--rm", &reference, "again", "echo", "whole"]).exits(0);
}
