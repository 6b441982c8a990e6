//! The first errors that a user meets.

use std::process::Command;

use dhow_integration_tests::binaries;
use dhow_integration_tests::process::run;

fn dhow(arguments: &[&str]) -> dhow_integration_tests::process::Done {
    run(Command::new(binaries::path("dhow")).args(arguments).env("DOCKER_HOST", "unix:///no/such/socket"))
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let done = dhow(&["ps"]).exits(1);
    assert!(done.stderr.contains("/no/such/socket") && done.stderr.contains("dhowd"), "{}", done.stderr);
    dhow(&["run", "busybox"]).exits(125);
}

#[test]
fn every_command_has_a_help_worth_reading() {
    let help = dhow(&["--help"]).ok();
    for command in ["run", "ps", "images", "logs", "exec", "pull", "inspect", "events", "version"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {help}");
        let own = dhow(&[command, "--help"]).ok();
        assert!(own.contains("Usage:") && own.contains(command), "{own}");
    }
    let run = dhow(&["run", "--help"]).ok();
    for flag in [
        "--cap-add",
        "--cpus",
        "--detach",
        "--memory",
        "--mount",
        "--network",
        "--publish",
        "--rm",
        "--volume",
    ] {
        assert!(run.contains(flag), "{flag}");
    }
}

#[test]
fn a_wrong_flag_is_named() {
    let done = dhow(&["run", "--no-such-flag", "busybox"]).exits(125);
    assert!(done.stderr.contains("--no-such-flag"), "{}", done.stderr);
    let done = dhow(&["no-such-command"]).exits(1);
    assert!(done.stderr.contains("no-such-command"), "{}", done.stderr);
}
