//! A stock dockerd cannot tell our CLI from Docker's.

use std::process::Command;

use dhow_integration_tests::peers::Dockerd;
use dhow_integration_tests::process::{Done, eventually, run, run_with};
use dhow_integration_tests::{binaries, busybox};

fn command(dockerd: &Dockerd, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries::path("dhow"));
    command
        .args(arguments)
        .env("DOCKER_HOST", dockerd.address())
        .env("DOCKER_CONFIG", dockerd.host().path("client"));
    command
}

fn dhow(dockerd: &Dockerd, arguments: &[&str]) -> Done {
    run(&mut command(dockerd, arguments))
}

#[test]
fn our_cli_drives_a_stock_dockerd() {
    let dockerd = Dockerd::start(&[]);
    let archive = busybox::tar(&dockerd.host().folder("images"));
    dhow(&dockerd, &["import", archive.to_str().expect("UTF-8"), "busybox:latest"]).ok();
    let run = ["run", "--rm", "--network=none", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7"];
    let done = dhow(&dockerd, &run).exits(7);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    let cat = ["run", "-i", "--rm", "--network=none", "busybox", "cat"];
    assert_eq!(run_with(&mut command(&dockerd, &cat), b"hi\n").ok(), "hi");
    let id =
        dhow(&dockerd, &["run", "-d", "--network=none", "--name", "box", "busybox", "sleep", "1000"]).ok();
    eventually("the program runs", || {
        dhow(&dockerd, &["exec", "box", "cat", "/proc/1/comm"]).ok() == "sleep"
    });
    // Docker's CLI knows `--format json` since 23.0.
    let version = dockerd.docker(&["version", "--format", "{{.Client.Version}}"]).ok();
    let old =
        version.split('.').next().and_then(|major| major.parse::<u32>().ok()).is_none_or(|major| major < 23);
    for arguments in [
        &["ps"][..],
        &["ps", "-a", "--no-trunc"],
        &["images"],
        &["images", "--digests", "--no-trunc"],
        &["inspect", "box"],
        &[
            "inspect",
            "-f",
            "{{.Name}} {{json .Config.Cmd}} {{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}",
            &id,
        ],
        &["ps", "--format", "table {{.ID}}\t{{.Names}}\t{{.Status}}"],
        &["ps", "--format", "json"],
        &["top", "box"],
        &["version", "--format", "{{.Server.Version}}"],
        &["info", "--format", "{{.Name}} {{.Driver}}"],
    ] {
        if arguments.contains(&"json") && old {
            continue;
        }
        // Ages and CPU shares may change between the two calls, but not three times in a row.
        let pairs = (0..3).map(|_| (dhow(&dockerd, arguments).ok(), dockerd.docker(arguments).ok()));
        let pairs: Vec<_> = pairs.collect();
        assert!(pairs.iter().any(|(ours, theirs)| ours == theirs), "{arguments:?}: {pairs:#?}");
    }
    dhow(&dockerd, &["kill", "box"]).ok();
    assert_eq!(dhow(&dockerd, &["wait", "box"]).ok(), "137");
    dhow(&dockerd, &["rm", "box"]).ok();
}
