//! Terminals: handed over a console socket, or the runtime's own in the foreground.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::{UnixListener, UnixStream};

use dhow_integration_tests::runtime::Runtime;
use dhow_integration_tests::terminal::Terminal;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::json;

#[test]
fn the_console_socket_receives_the_terminal() {
    let runtime = Runtime::new();
    let id = runtime.id("console");
    let mut bundle = runtime.bundle("console", "tty; read line; echo got $line; stty size");
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.spec["process"]["consoleSize"] = json!({"height": 33, "width": 99});
    bundle.save();
    let socket = runtime.host().path("console.sock");
    let listener = UnixListener::bind(&socket).expect("bind");
    let folder = bundle.folder().to_str().expect("UTF-8");
    runtime
        .call(&["create", "--console-socket", socket.to_str().expect("UTF-8"), "--bundle", folder, &id])
        .ok();
    let (stream, _) = listener.accept().expect("the runtime connects");
    let mut terminal = receive(&stream);
    runtime.call(&["start", &id]).ok();
    terminal.write_all(b"hello\n").expect("type");
    let mut seen = String::new();
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = terminal.read(&mut bytes) {
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    assert!(seen.contains("/dev/pts/0") || seen.contains("/dev/console"), "{seen:?}");
    assert!(seen.contains("got hello") && seen.contains("33 99"), "{seen:?}");
}

pub(super) fn receive(stream: &UnixStream) -> File {
    let mut name = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(stream, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .expect("receive");
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    File::from(fd.expect("a terminal"))
}

#[test]
fn run_passes_its_own_terminal_through() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("foreground", "echo ready; read line; echo got $line; exit 5");
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.save();
    let folder = bundle.folder().to_str().expect("UTF-8");
    let mut terminal =
        Terminal::start(&runtime.command(&["run", "--bundle", folder, &runtime.id("foreground")]));
    terminal.expect("ready");
    terminal.type_text("hello\r");
    terminal.expect("got hello");
    assert_eq!(terminal.finish().0, 5);
}
