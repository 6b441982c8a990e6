//! pull, images, tag, import, inspect, rmi.

use dhow_integration_tests::image;
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::stack::Stack;

#[test]
fn a_pulled_image_of_several_layers_runs() {
    let stack = Stack::start();
    let registry = Registry::start();
    let reference = image::push("debian", &registry.address());
    let output = stack.dhow(&["pull", &reference]).ok();
    assert_eq!(output.lines().last(), Some(reference.as_str()), "{output}");
    assert_eq!(output.matches("Pull complete").count(), 3, "three layers: {output}");
    let again = stack.dhow(&["pull", &reference]).ok();
    assert!(again.contains("Image is up to date"), "{again}");
    let release = stack.dhow(&["run", "--rm", &reference, "cat", "/etc/os-release"]).ok();
    assert!(release.contains("VERSION_ID=\"12\""), "{release}");
    let script = "cat /etc/motd; ls -d /usr/share/doc 2>&1 | head -1; stat -c %a /tmp /usr/bin/passwd";
    let seen = stack.dhow(&["run", "--rm", &reference, "sh", "-c", script]).ok();
    assert_eq!(seen.lines().next(), Some("made in layers"));
    assert!(seen.contains("No such file or directory"), "the whiteout hides the folder: {seen}");
    assert!(seen.ends_with("1777\n4755"), "sticky and setuid bits survive: {seen}");
}

#[test]
fn run_pulls_what_is_missing() {
    let stack = Stack::start();
    let registry = Registry::start();
    let reference = image::push("busybox", &registry.address());
    let done = stack.dhow(&["run", "--rm", &reference, "echo", "ran"]).exits(0);
    assert_eq!(done.stdout, "ran\n", "progress goes to stderr");
    assert!(done.stderr.contains("Unable to find image"), "{}", done.stderr);
    let missing = stack.dhow(&["run", "--rm", &format!("{}/none", registry.address())]).exits(125);
    assert!(missing.stderr.contains("not found") || missing.stderr.contains("unknown"), "{}", missing.stderr);
}

#[test]
fn tags_share_an_image_until_the_last_goes() {
    let stack = Stack::with_busybox();
    stack.dhow(&["tag", "busybox", "other:1"]).ok();
    let ids = stack.dhow(&["images", "-q", "--no-trunc"]).ok();
    let ids: std::collections::BTreeSet<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 1);
    assert!(stack.dhow(&["rmi", "other:1"]).ok().contains("Untagged: other:1"));
    stack.dhow(&["create", "--name", "user", "busybox"]).ok();
    let refused = stack.dhow(&["rmi", "busybox"]).exits(1);
    assert!(refused.stderr.contains("conflict"), "{}", refused.stderr);
    stack.dhow(&["rm", "user"]).ok();
    let removed = stack.dhow(&["rmi", "busybox"]).ok();
    assert!(
        removed.contains("Untagged: busybox:latest") && removed.contains("Deleted: sha256:"),
        "{removed}"
    );
    assert_eq!(stack.dhow(&["images", "-q"]).ok(), "");
}

#[test]
fn an_imported_image_keeps_its_changes() {
    let stack = Stack::with_busybox();
    let config =
        stack.dhow(&["inspect", "--format", "{{json .Config.Cmd}} {{.Architecture}}", "busybox"]).ok();
    assert_eq!(config, "[\"sh\"] amd64");
}
