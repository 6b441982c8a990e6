//! Docker's rules for the options of run and create.

use clap::{Args, FromArgMatches};
use dhow_engine_api::container::CreateRequest;

use super::{ContainerOptions, build};

fn request(words: &[&str]) -> Result<CreateRequest, String> {
    let command = ContainerOptions::augment_args(clap::Command::new("run").disable_help_flag(true));
    let matches = command
        .try_get_matches_from(std::iter::once("run").chain(words.iter().copied()))
        .map_err(|error| error.to_string())?;
    let options = ContainerOptions::from_arg_matches(&matches).map_err(|error| error.to_string())?;
    build(options, "busybox".into(), vec!["true".into()])
}

#[test]
fn nothing_asked_for() {
    let request = request(&[]).expect("valid");
    let config = &request.config;
    assert_eq!((config.attach_stdin, config.attach_stdout, config.attach_stderr), (false, true, true));
    let host = request.host_config.expect("a host config");
    assert_eq!(host.network_mode, "default");
    assert_eq!(host.restart_policy.name, "no");
    assert_eq!(host.resources.memory_swappiness, Some(-1));
}

#[test]
fn streams() {
    let both = request(&["--interactive", "--tty"]).expect("valid").config;
    assert!(both.open_stdin && both.stdin_once && both.tty && both.attach_stdin);
    let one = request(&["--attach", "STDOUT"]).expect("valid").config;
    assert_eq!((one.attach_stdin, one.attach_stdout, one.attach_stderr), (false, true, false));
}

#[test]
fn entrypoints() {
    assert_eq!(request(&["--entrypoint="]).expect("valid").config.entrypoint, Some(vec![String::new()]));
    assert_eq!(request(&["--entrypoint", "sh"]).expect("valid").config.entrypoint, Some(vec!["sh".into()]));
}

#[test]
fn networks() {
    let request = request(&["--net", "web", "--net-alias", "a", "--ip", "10.0.0.2"]).expect("valid");
    assert_eq!(request.host_config.expect("a host config").network_mode, "web");
    let endpoints = request.networking_config.and_then(|config| config.endpoints_config).expect("endpoints");
    let settings = endpoints["web"].as_ref().expect("settings");
    assert_eq!(settings.aliases, Some(vec!["a".into()]));
    assert_eq!(settings.ipam_config.as_ref().map(|ipam| ipam.ipv4_address.as_str()), Some("10.0.0.2"));
}

#[test]
fn conflicts_are_dockers() {
    for (words, error) in [
        (&["--rm", "--restart", "always"][..], "conflicting options: cannot specify both --restart and --rm"),
        (&["--no-healthcheck", "--health-cmd", "x"], "--no-healthcheck conflicts with --health-* options"),
        (&["--pid", "x"], "--pid: invalid PID mode"),
        (&["--network-alias", "x"], "network-scoped aliases are only supported for user-defined networks"),
        (&["--network", "a", "--network", "a"], "network \"a\" is specified multiple times"),
        (
            &["--network", "a", "--network", "host"],
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
        (&["--log-driver", "none", "--log-opt", "a=b"], "invalid logging opts for driver none"),
        (&["--memory-swappiness", "101"], "invalid value: 101. Valid memory swappiness range is 0-100"),
        (&["--mac-address", "x"], "x is not a valid mac address"),
    ] {
        assert_eq!(request(words).map(|_| ()), Err(error.to_owned()), "{words:?}");
    }
}
