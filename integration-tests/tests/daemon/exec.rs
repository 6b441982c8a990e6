//! exec through the daemon.

use dhow_integration_tests::process::run_with;
use dhow_integration_tests::stack::Stack;
use dhow_integration_tests::terminal::Terminal;

fn with_box() -> Stack {
    let stack = Stack::with_busybox();
    stack.dhow(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    stack
}

#[test]
fn streams_and_status_come_back() {
    let stack = with_box();
    let done = stack.dhow(&["exec", "box", "sh", "-c", "echo out; echo err >&2; exit 3"]).exits(3);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(run_with(&mut stack.command("dhow", &["exec", "-i", "box", "cat"]), b"hi\n").ok(), "hi");
    let flags = [
        "exec",
        "-u",
        "test",
        "-w",
        "/tmp",
        "-e",
        "ANSWER=42",
        "box",
        "sh",
        "-c",
        "id -un; pwd; echo $ANSWER",
    ];
    assert_eq!(stack.dhow(&flags).ok(), "test\n/tmp\n42");
    stack.dhow(&["exec", "box", "/no/such"]).exits(127);
    let output = stack.dhow(&["exec", "box", "sh", "-c", "yes | head -c 3000000"]);
    assert_eq!(output.stdout.len(), 3_000_000, "no byte of a fast writer is lost");
}

#[test]
fn a_terminal_follows_its_window() {
    let stack = with_box();
    // No line editor: that one draws its line anew when the window changes under it.
    let script = "while read line; do [ $line = end ] && exit 6; stty size; done";
    let mut terminal = Terminal::start(&stack.command("dhow", &["exec", "-it", "box", "sh", "-c", script]));
    terminal.type_text("size\r");
    terminal.expect("24 80\r\n");
    dhow_integration_tests::process::eventually("the new size arrives", || {
        terminal.resize(110, 40);
        terminal.resize(120, 40);
        terminal.type_text("size\r");
        terminal.expect("size\r\n");
        terminal.expect("\r\n").starts_with("40 120")
    });
    terminal.type_text("end\r");
    assert_eq!(terminal.finish().0, 6);
}

#[test]
fn a_stopped_container_takes_no_exec() {
    let stack = with_box();
    stack.dhow(&["kill", "box"]).ok();
    stack.dhow(&["wait", "box"]).ok();
    let refused = stack.dhow(&["exec", "box", "true"]).exits(1);
    assert!(refused.stderr.contains("is not running"), "{}", refused.stderr);
}
