//! What a user can get wrong: a clear message in both log forms, and nothing left behind.

use std::os::unix::fs::PermissionsExt;

use dhow_integration_tests::process::run;
use dhow_integration_tests::runtime::Runtime;
use serde_json::Value;

#[test]
fn a_missing_program_is_named() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("missing", "");
    bundle.spec["process"]["args"] = serde_json::json!(["/no/such/program"]);
    bundle.save();
    let done = runtime.run(&runtime.id("missing"), &bundle);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("/no/such/program"), "{}", done.stderr);
    assert!(done.stderr.contains("no such file or directory"), "{}", done.stderr);
    assert_eq!(runtime.call(&["list", "-q"]).ok(), "");
}

#[test]
fn a_program_that_may_not_run_is_named() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("denied", "");
    let script = bundle.rootfs("tmp/script");
    std::fs::write(&script, "#!/bin/sh\n").expect("write a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    bundle.spec["process"]["args"] = serde_json::json!(["/tmp/script"]);
    bundle.save();
    let done = runtime.run(&runtime.id("denied"), &bundle);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("permission denied"), "{}", done.stderr);
}

#[test]
fn the_last_json_log_line_is_the_cause() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("json", "");
    bundle.spec["process"]["args"] = serde_json::json!(["/no/such/program"]);
    bundle.save();
    let log = runtime.host().path("json.log");
    let done = runtime.call(&[
        "--log",
        log.to_str().expect("UTF-8"),
        "--log-format",
        "json",
        "run",
        "--bundle",
        bundle.folder().to_str().expect("UTF-8"),
        &runtime.id("json"),
    ]);
    assert_ne!(done.code, 0);
    let text = std::fs::read_to_string(log).expect("the log");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["level"], "error");
    assert!(last["msg"].as_str().expect("a message").contains("/no/such/program"), "{last}");
    assert!(last["time"].is_string());
}

#[test]
fn a_bundle_without_a_spec_is_refused() {
    let runtime = Runtime::new();
    let folder = runtime.host().folder("empty");
    let done = runtime.call(&["run", "--bundle", folder.to_str().expect("UTF-8"), &runtime.id("empty")]);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("config.json"), "{}", done.stderr);
}

#[test]
fn an_unknown_container_is_said_to_be_missing() {
    let runtime = Runtime::new();
    for verb in [&["state", "ghost"][..], &["start", "ghost"], &["kill", "ghost"], &["delete", "ghost"]] {
        let done = runtime.call(verb);
        assert_ne!(done.code, 0, "{verb:?}");
        assert!(done.stderr.contains("container does not exist"), "{verb:?}: {}", done.stderr);
    }
}

#[test]
fn an_id_that_is_a_path_is_refused() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle("path", "true");
    for id in ["../escape", "a/b", ".", ".."] {
        let done = runtime.run(id, &bundle);
        assert_ne!(done.code, 0, "{id}");
        assert!(done.stderr.contains("invalid"), "{id}: {}", done.stderr);
    }
}

/// Also what is wrong with the command line stands in the log, where engines look for the cause.
#[test]
fn wrong_arguments_are_told_in_the_log() {
    let runtime = Runtime::new();
    let id = runtime.id("wrong");
    runtime.create(&id, &runtime.bundle("wrong", "sleep 1000"));
    let binary = runtime.binary().display().to_string();
    for (arguments, code, words) in [
        (&["state"][..], 1, format!("{binary}: \"state\" requires exactly 1 argument(s)")),
        (&["exec"], 1, format!("{binary}: \"exec\" requires a minimum of 1 argument(s)")),
        (&["kill", &id, "TERM", "x"], 1, format!("{binary}: \"kill\" requires a maximum of 2 argument(s)")),
        (&["create", ""], 1, "runc create failed: container id cannot be empty".to_owned()),
        (&["run", "a/b"], 1, "runc run failed: invalid container ID format".to_owned()),
        (&["exec", "..", "true"], 255, "exec failed: invalid container ID format".to_owned()),
        (
            &["exec", "--preserve-fds", "x", &id, "true"],
            1,
            "invalid value \"x\" for flag -preserve-fds: invalid digit found in string".to_owned(),
        ),
        (&["delete", "a b"], 1, "invalid container ID format".to_owned()),
        (&["kill", &id, "COLOUR"], 1, "unknown signal \"COLOUR\"".to_owned()),
        (&["kill", &id, "99"], 1, "unable to signal init: invalid argument".to_owned()),
        (&["kill", &id, "-1"], 1, "unable to signal init: invalid argument".to_owned()),
        (&["list", "--format", "xml"], 1, "invalid format option".to_owned()),
        (
            &["update", "--memory", "much", &id],
            1,
            "invalid value for memory: invalid size: 'much'".to_owned(),
        ),
    ] {
        let log = runtime.host().path("wrong.log");
        let done = run(runtime
            .command(&["--log", log.to_str().expect("UTF-8"), "--log-format", "json"])
            .args(arguments));
        assert_eq!(done.code, code, "{arguments:?}: {}", done.stderr);
        let text = std::fs::read_to_string(&log).expect("the log");
        let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["msg"], words, "{arguments:?}");
    }
    assert_eq!(runtime.status(&id), "created");
    // A flag without a text is none.
    runtime.call(&["--log", "", "--log-format", "", "state", &id]).ok();
}

#[test]
fn of_a_repeated_flag_the_last_counts() {
    let runtime = Runtime::new();
    let bundle = runtime.bundle("flags", "echo here");
    let folder = bundle.folder().to_str().expect("UTF-8");
    let id = runtime.id("flags");
    let done = runtime.call(&[
        "--root",
        "/nowhere",
        "--root",
        runtime.host().path("runtime").to_str().expect("UTF-8"),
        "run",
        "--bundle",
        "/nowhere",
        "--bundle",
        folder,
        &id,
    ]);
    assert_eq!(done.ok(), "here");
}
