//! dhowd and its supervisor die, alone and together, while a container prints.

use dhow_integration_tests::process::eventually;
use dhow_integration_tests::stack::Stack;

/// Counts up for ever, one number a line.
const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done";

/// The numbers that the log holds, after asserting that they are 1, 2, 3 … without a gap.
#[track_caller]
fn counted(stack: &Stack) -> usize {
    let logs = stack.dhow(&["logs", "count"]).ok();
    for (line, expected) in logs.lines().zip(1..) {
        assert_eq!(line, expected.to_string(), "a line is missing");
    }
    logs.lines().count()
}

/// Lets a container count, runs `disaster`, and asserts that nothing of it was noticed inside.
#[track_caller]
fn survives(disaster: impl FnOnce(&mut Stack)) {
    let mut stack = Stack::with_busybox();
    stack.dhow(&["run", "-d", "--name", "count", "busybox", "sh", "-c", COUNT]).ok();
    let pid = stack.inspect("count", "{{.State.Pid}}");
    eventually("it counts", || counted(&stack) > 5);
    let before = counted(&stack);

    disaster(&mut stack);

    assert_eq!(stack.inspect("count", "{{.State.Status}} {{.State.Pid}}"), format!("running {pid}"));
    eventually("it counts on", || counted(&stack) > before + 20);
    assert_eq!(stack.dhow(&["exec", "count", "echo", "alive"]).ok(), "alive");
    stack.dhow(&["exec", "count", "sh", "-c", "exit 5"]).exits(5);
    stack.dhow(&["stop", "-t", "1", "count"]).ok();
    assert_eq!(stack.inspect("count", "{{.State.Status}} {{.State.ExitCode}}"), "exited 137");
    stack.dhow(&["rm", "count"]).ok();
}

#[test]
fn a_container_outlives_the_daemon() {
    survives(|stack| {
        stack.kill_daemon();
        stack.start_daemon();
    });
}

#[test]
fn a_container_outlives_the_supervisor() {
    survives(|stack| {
        let killed = stack.kill_supervisor();
        eventually("the daemon starts another supervisor", || {
            stack.supervisor_pid().is_some_and(|pid| pid != killed)
        });
        eventually("it answers", || stack.dhow(&["exec", "count", "true"]).code == 0);
    });
}

#[test]
fn a_container_outlives_both() {
    survives(|stack| {
        stack.kill_daemon();
        stack.kill_supervisor();
        std::thread::sleep(std::time::Duration::from_millis(300));
        stack.start_daemon();
    });
}

#[test]
fn a_daemon_told_to_end_leaves_containers_running() {
    survives(|stack| {
        assert_eq!(stack.terminate_daemon(), 0);
        stack.start_daemon();
    });
}

#[test]
fn an_exit_during_the_absence_of_both_is_known_afterwards() {
    let mut stack = Stack::with_busybox();
    let gate = stack.host().folder("gate");
    let volume = format!("{}:/gate", gate.display());
    let script = "while [ ! -e /gate/open ]; do sleep 0.01; done; echo last words; exit 42";
    stack.dhow(&["run", "-d", "--name", "gone", "-v", &volume, "busybox", "sh", "-c", script]).ok();
    let pid = stack.inspect("gone", "{{.State.Pid}}");
    stack.kill_daemon();
    stack.kill_supervisor();
    std::fs::write(gate.join("open"), "").expect("open the gate");
    eventually("the process ended", || !std::path::Path::new("/proc").join(&pid).exists());
    stack.start_daemon();
    eventually("the exit is known", || {
        stack.inspect("gone", "{{.State.Status}} {{.State.ExitCode}}") == "exited 42"
    });
    assert_eq!(stack.dhow(&["logs", "gone"]).ok(), "last words");
    stack.dhow(&["wait", "gone"]).ok();
    stack.dhow(&["rm", "gone"]).ok();
}

#[test]
fn a_container_made_to_remove_itself_is_removed_after_the_absence() {
    let mut stack = Stack::with_busybox();
    let gate = stack.host().folder("gate");
    let volume = format!("{}:/gate", gate.display());
    let script = "while [ ! -e /gate/open ]; do sleep 0.01; done";
    stack.dhow(&["run", "-d", "--rm", "--name", "self", "-v", &volume, "busybox", "sh", "-c", script]).ok();
    stack.kill_daemon();
    std::fs::write(gate.join("open"), "").expect("open the gate");
    std::thread::sleep(std::time::Duration::from_millis(200));
    stack.start_daemon();
    eventually("it is removed", || stack.dhow(&["ps", "-aq"]).ok().is_empty());
}
