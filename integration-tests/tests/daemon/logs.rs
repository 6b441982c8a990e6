//! logs: both streams, tails, times, following, partial lines.

use dhow_integration_tests::process::{eventually, run};
use dhow_integration_tests::stack::Stack;

#[test]
fn both_streams_are_kept_apart_and_in_order() {
    let stack = Stack::with_busybox();
    stack
        .dhow(&[
            "run",
            "--name",
            "talk",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3 4 5; do echo $i; done; echo e >&2",
        ])
        .ok();
    let logs = stack.dhow(&["logs", "talk"]);
    assert_eq!((logs.stdout.as_str(), logs.stderr.as_str()), ("1\n2\n3\n4\n5\n", "e\n"));
    assert_eq!(stack.dhow(&["logs", "--tail", "3", "talk"]).stdout, "4\n5\n");
    let stamped = stack.dhow(&["logs", "-t", "--tail", "1", "talk"]).stderr;
    let (time, text) = stamped.split_once(' ').expect("a time");
    assert!(text == "e\n" && time.len() == "2026-01-01T00:00:00.000000000Z".len(), "{stamped}");
    assert_eq!(stack.dhow(&["logs", "--since", "1h", "talk"]).stdout.lines().count(), 5);
    assert_eq!(stack.dhow(&["logs", "--until", "1h", "talk"]).stdout, "");
}

#[test]
fn following_ends_with_the_container() {
    let stack = Stack::with_busybox();
    stack
        .dhow(&[
            "run",
            "-d",
            "--name",
            "talk",
            "busybox",
            "sh",
            "-c",
            "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done",
        ])
        .ok();
    let done = run(&mut stack.command("dhow", &["logs", "-f", "talk"]));
    assert_eq!(done.ok(), "1\n2\n3\n4\n5");
}

#[test]
fn long_lines_and_missing_newlines_survive() {
    let stack = Stack::with_busybox();
    let script = "head -c 100000 /dev/zero | tr '\\0' x; echo; printf end";
    stack.dhow(&["run", "--name", "long", "busybox", "sh", "-c", script]).ok();
    let logs = stack.dhow(&["logs", "long"]).stdout;
    assert_eq!(logs, format!("{}\nend", "x".repeat(100_000)));
}

#[test]
fn rotation_keeps_the_newest_files() {
    let stack = Stack::with_busybox();
    let options = ["--log-opt", "max-size=20k", "--log-opt", "max-file=2"];
    let script = "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done";
    stack.dhow(&[&["run", "--name", "turn"], &options[..], &["busybox", "sh", "-c", script]].concat()).ok();
    let log = std::path::PathBuf::from(stack.inspect("turn", "{{.LogPath}}"));
    let size = |path: &std::path::Path| std::fs::metadata(path).map(|meta| meta.len()).unwrap_or(0);
    eventually("the last line is written", || {
        stack.dhow(&["logs", "--tail", "1", "turn"]).stdout == "line 2000\n"
    });
    assert!(size(&log) <= 21_000 && size(&log.with_extension("log.1")) <= 21_000);
    assert!(!log.with_extension("log.2").exists());
    let lines = stack.dhow(&["logs", "turn"]).stdout;
    assert!(lines.lines().count() < 2000 && lines.ends_with("line 2000\n"));
}
