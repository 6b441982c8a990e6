//! Docker's own CLI drives `dhowd`.

use dhow_integration_tests::binaries;
use dhow_integration_tests::process::{eventually, run_with};
use dhow_integration_tests::stack::Stack;
use dhow_integration_tests::terminal::Terminal;

#[test]
fn runs_in_the_foreground_with_streams_and_status() {
    let stack = Stack::with_busybox();
    let done =
        stack.docker(&["run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"]).exits(7);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    let docker = binaries::in_path("docker").expect("docker");
    let mut cat = stack.command(docker, &["run", "-i", "--rm", "busybox", "cat"]);
    assert_eq!(run_with(&mut cat, b"hi\n").ok(), "hi");
    assert_eq!(stack.docker(&["ps", "-aq"]).ok(), "", "--rm removed them");
}

#[test]
fn runs_in_the_background_and_is_observed() {
    let stack = Stack::with_busybox();
    let script = "echo one; echo two >&2; exec sleep 1000";
    let id = stack.docker(&["run", "-d", "--name", "box", "busybox", "sh", "-c", script]).ok();
    assert_eq!(id.len(), 64);
    let table = stack.docker(&["ps"]).ok();
    assert!(table.contains("box") && table.contains("Up "), "{table}");
    eventually("both lines are logged", || {
        let logs = stack.docker(&["logs", "box"]);
        logs.stdout == "one\n" && logs.stderr == "two\n"
    });
    eventually("the program runs", || stack.docker(&["exec", "box", "cat", "/proc/1/comm"]).ok() == "sleep");
    stack.docker(&["exec", "box", "sh", "-c", "exit 3"]).exits(3);
    stack.docker(&["stop", "-t", "1", "box"]).ok();
    assert_eq!(
        stack.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box"]).ok(),
        "exited 137"
    );
    stack.docker(&["rm", "box"]).ok();
    stack.docker(&["inspect", "box"]).exits(1);
}

#[test]
fn gives_a_terminal() {
    let stack = Stack::with_busybox();
    let docker = binaries::in_path("docker").expect("docker");
    let mut terminal = Terminal::start(&stack.command(&docker, &["run", "-it", "--rm", "busybox", "sh"]));
    terminal.type_text("tty; stty size\r");
    terminal.expect("/dev/pts/0");
    terminal.expect("24 80");
    terminal.resize_seen(100, 30);
    terminal.type_text("exit 4\r");
    assert_eq!(terminal.finish().0, 4);
}

#[test]
fn pulls_lists_and_removes_images() {
    let stack = Stack::start();
    let registry = dhow_integration_tests::registry::Registry::start();
    let reference = dhow_integration_tests::image::push("busybox", &registry.address());
    let pulled = stack.docker(&["pull", &reference]).ok();
    assert!(pulled.contains("Status: Downloaded newer image"), "{pulled}");
    let images = stack.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
    assert_eq!(images, reference);
    assert_eq!(stack.docker(&["run", "--rm", &reference, "echo", "pulled"]).ok(), "pulled");
    stack.docker(&["tag", &reference, "mine:1"]).ok();
    stack.docker(&["rmi", &reference, "mine:1"]).ok();
    assert_eq!(stack.docker(&["images", "-q"]).ok(), "");
}
