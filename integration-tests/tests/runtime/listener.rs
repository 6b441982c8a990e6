//! The seccomp listener: who decides about calls gets the container's state and a descriptor, once.

use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};

use dhow_integration_tests::runtime::Runtime;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

/// Everything that comes until the other side closes, and how many descriptors came with the first message.
fn receive(mut stream: UnixStream) -> (Value, usize) {
    let mut bytes = vec![0; 64 << 10];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let first = recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let first = first.expect("a message").bytes;
    let fds: usize = control
        .drain()
        .map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => fds.count(),
            _ => 0,
        })
        .sum();
    bytes.truncate(first);
    stream.read_to_end(&mut bytes).expect("the rest, and an end");
    (serde_json::from_slice(&bytes).expect("one JSON document"), fds)
}

#[test]
fn the_listener_gets_one_state_and_one_descriptor() {
    let runtime = Runtime::new();
    let id = runtime.id("listener");
    let socket = runtime.host().path("listener.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    let mut bundle = runtime.bundle("listener", "mkdir /made");
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": socket,
        "listenerMetadata": "about it",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    });
    bundle.save();
    let receiving = std::thread::spawn(move || receive(listener.accept().expect("a connection").0));
    runtime.create(&id, &bundle);
    runtime.call(&["start", &id]).ok();
    let (state, fds) = receiving.join().expect("received");
    assert_eq!(fds, 1, "{state}");
    assert_eq!(state["fds"], json!(["seccompFd"]));
    assert_eq!(state["metadata"], "about it");
    assert_eq!(state["state"]["id"], id.as_str());
    assert!(state["ociVersion"].is_string() && state["pid"].as_i64() > Some(0), "{state}");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn without_anybody_there_it_is_an_error() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("nobody", "true");
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": runtime.host().path("nobody.sock"),
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    });
    bundle.save();
    let done = runtime.run(&runtime.id("nobody"), &bundle);
    assert_ne!(done.code, 0);
    assert!(done.stderr.contains("seccomp agent"), "{}", done.stderr);
}
