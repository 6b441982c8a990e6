//! run -it, attach and detach.

use dhow_integration_tests::stack::Stack;
use dhow_integration_tests::terminal::Terminal;

#[test]
fn a_shell_talks_to_a_person() {
    let stack = Stack::with_busybox();
    let mut terminal = Terminal::start(&stack.command("dhow", &["run", "-it", "--rm", "busybox"]));
    terminal.type_text("tty; echo $TERM\r");
    terminal.expect("/dev/pts/0");
    terminal.expect("xterm");
    terminal.type_text("exit 4\r");
    assert_eq!(terminal.finish().0, 4);
}

#[test]
fn detaching_leaves_it_running_and_attaching_finds_it() {
    let stack = Stack::with_busybox();
    let mut terminal = Terminal::start(&stack.command("dhow", &["run", "-it", "--name", "shell", "busybox"]));
    // Only once the shell asks is our side of the terminal raw, so that keys arrive as they are.
    terminal.expect("/ # ");
    terminal.type_text("mark=42\r");
    terminal.expect("mark=42");
    terminal.expect("/ # ");
    terminal.type_text("\x10\x11");
    assert_eq!(terminal.finish().0, 0, "ctrl-p ctrl-q detaches");
    assert_eq!(stack.inspect("shell", "{{.State.Status}}"), "running");
    let mut again = Terminal::start(&stack.command("dhow", &["attach", "shell"]));
    again.type_text("echo mark is $mark\r");
    again.expect("mark is 42");
    again.type_text("exit 3\r");
    assert_eq!(again.finish().0, 3);
}
