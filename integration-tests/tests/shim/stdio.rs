//! The forms that stdin, stdout and stderr may take (docs/stdio.md).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use dhow_integration_tests::client::{Client, Stdio, block_on};
use dhow_integration_tests::supervisor::Supervisor;
use serde_json::Value;

use super::{create, run};

#[test]
fn a_file_receives_both_streams() {
    let supervisor = Supervisor::start();
    let file = supervisor.host().path("out");
    let uri = format!("file://{}", file.display());
    let stdio = Stdio { stdout: uri.clone(), stderr: uri, ..Stdio::default() };
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        assert_eq!(run(&supervisor, &client, "file", "echo out; echo err >&2; exit 3", &stdio).await, 3);
    });
    let text = std::fs::read_to_string(file).expect("the file");
    assert!(text.contains("out\n") && text.contains("err\n"), "{text}");
}

#[test]
fn a_json_file_is_dockers() {
    let supervisor = Supervisor::start();
    let file = supervisor.host().path("box-json.log");
    let uri = format!("json-file://{}?attrs=%7B%22tag%22%3A%22x%22%7D", file.display());
    let stdio = Stdio { stdout: uri.clone(), stderr: uri, ..Stdio::default() };
    let script =
        "echo 'a \"quoted\" \\ line'; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x; printf end";
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        assert_eq!(run(&supervisor, &client, "json", script, &stdio).await, 0);
    });
    let text = std::fs::read_to_string(file).expect("the log");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |stream: &str| -> Vec<&str> {
        lines.iter().filter(|line| line["stream"] == stream).filter_map(|line| line["log"].as_str()).collect()
    };
    assert_eq!(of("stderr"), ["err\n"]);
    let stdout = of("stdout");
    assert_eq!(stdout[0], "a \"quoted\" \\ line\n");
    assert_eq!(stdout[1].len(), 16 << 10, "a long line is cut at 16 KiB");
    assert_eq!(stdout[1..].concat(), format!("{}end", "x".repeat(20_000)), "and its parts join to the whole");
    assert!(
        lines.iter().all(
            |line| line["attrs"]["tag"] == "x" && line["time"].as_str().is_some_and(|t| t.ends_with('Z'))
        )
    );
}

#[test]
fn a_logging_program_reads_both_streams() {
    let supervisor = Supervisor::start();
    let output = supervisor.host().path("logged");
    let program = supervisor.host().path("logger");
    // containerd's contract: fd 3 stdout, 4 stderr, 5 to be closed once ready.
    let script =
        format!("#!/bin/sh\nexec 5>&-\n(cat <&3; cat <&4; echo \"$CONTAINER_ID\") > {}\n", output.display());
    std::fs::write(&program, script).expect("write the program");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let uri = format!("binary://{}", program.display());
    let stdio = Stdio { stdout: uri.clone(), stderr: uri, ..Stdio::default() };
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        assert_eq!(run(&supervisor, &client, "binary", "echo out; echo err >&2", &stdio).await, 0);
    });
    dhow_integration_tests::process::eventually("the program wrote", || {
        std::fs::read_to_string(&output).is_ok_and(|text| text == "out\nerr\nbinary\n")
    });
}

#[test]
fn the_attach_socket_carries_frames_both_ways() {
    let supervisor = Supervisor::start();
    let socket = supervisor.host().path("attach.sock");
    let uri = format!("attach://{}?once=true", socket.display());
    let stdio = Stdio { stdin: uri.clone(), stdout: uri.clone(), stderr: uri, ..Stdio::default() };
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        create(&supervisor, &client, "attach", "cat; echo err >&2; exit 4", &stdio).await;
        let mut stream = UnixStream::connect(&socket).expect("the shim listens before the reply");
        client.start("attach").await;
        stream.write_all(b"hello\n").expect("write stdin");
        stream.shutdown(Shutdown::Write).expect("end stdin");
        let frames = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).expect("read to the end");
            bytes
        });
        let frames = frames.await.expect("the reader");
        assert_eq!(frames, b"\x01\0\0\0\0\0\0\x06hello\n\x02\0\0\0\0\0\0\x04err\n");
        assert_eq!(client.wait("attach").await.exit_status, 4);
        let mut late = UnixStream::connect(&socket).expect("it listens until deleted");
        let mut rest = Vec::new();
        late.read_to_end(&mut rest).expect("an end at once");
        assert_eq!(rest, b"");
        client.delete("attach").await;
        assert!(!socket.exists(), "unlinked at delete");
    });
}

#[test]
fn a_terminal_on_the_attach_socket_is_raw() {
    let supervisor = Supervisor::start();
    let socket = supervisor.host().path("attach.sock");
    let uri = format!("attach://{}", socket.display());
    let stdio = Stdio { stdin: uri.clone(), stdout: uri, terminal: true, ..Stdio::default() };
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        create(&supervisor, &client, "tty", "tty; read line; echo got $line", &stdio).await;
        let mut stream = UnixStream::connect(&socket).expect("the shim listens");
        client.start("tty").await;
        stream.write_all(b"hello\r").expect("type");
        let text = tokio::task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).expect("read to the end");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let text = text.await.expect("the reader");
        assert!(text.contains("/dev/pts/0\r\n") && text.contains("got hello\r\n"), "{text:?}");
        client.wait("tty").await;
        client.delete("tty").await;
    });
}

#[test]
fn nobody_attached_loses_nothing_of_the_log() {
    let supervisor = Supervisor::start();
    let (file, socket) = (supervisor.host().path("box-json.log"), supervisor.host().path("attach.sock"));
    let uri = format!("json-file://{}?attach={}", file.display(), socket.display());
    let stdio = Stdio { stdout: uri.clone(), stderr: uri, ..Stdio::default() };
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let script = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo $i; done";
        assert_eq!(run(&supervisor, &client, "alone", script, &stdio).await, 0);
    });
    let text = std::fs::read_to_string(file).expect("the log");
    for (line, expected) in text.lines().zip(1..) {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["log"], format!("{expected}\n"));
    }
    assert_eq!(text.lines().count(), 5000);
}
