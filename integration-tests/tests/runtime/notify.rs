//! `NOTIFY_SOCKET`: what a service manager hears of a container's program.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::process::{Background, DEADLINE, code, eventually, wait};
use dhow_integration_tests::runtime::Runtime;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// Shows that the socket's folder is there, and its name; what is said through it, the test says.
const SCRIPT: &str = "test -d /run/notify && echo $NOTIFY_SOCKET > /said && sleep 1000";

/// A service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("bind");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("timeout");
        Self(socket)
    }

    /// The next message, with a descriptor when one comes along.
    fn hear(&self) -> (String, Option<OwnedFd>) {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.0, &mut parts, &mut control, RecvFlags::empty()).expect("hear");
        let passed = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        (String::from_utf8_lossy(&bytes[..received.bytes]).into_owned(), passed)
    }
}

/// What the container's program would send; the test has the same right to the socket as it.
fn say(runtime: &Runtime, id: &str, text: &str) {
    let path = runtime.host().path(format!("runtime/{id}/notify/notify.sock"));
    let socket = UnixDatagram::unbound().expect("socket");
    eventually("the socket is bound", || socket.send_to(text.as_bytes(), &path).is_ok());
}

fn bundle(runtime: &Runtime, name: &str) -> (Bundle, Manager) {
    let manager = Manager::new(&runtime.host().path("manager.sock"));
    (runtime.bundle(name, SCRIPT), manager)
}

#[test]
fn a_detached_run_ends_when_the_manager_has_heard_that_it_is_ready() {
    let runtime = Runtime::new();
    let id = runtime.id("notify");
    let (bundle, manager) = bundle(&runtime, "notify");
    let folder = bundle.folder().to_str().expect("UTF-8");
    let mut run = runtime.command(&["run", "-d", "--bundle", folder, &id]);
    run.env("NOTIFY_SOCKET", runtime.host().path("manager.sock"));
    let mut run =
        run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start");
    say(&runtime, &id, "STATUS=starting");
    say(&runtime, &id, "STATUS=up\nREADY=1\nMAINPID=1");
    assert_eq!(manager.hear().0, "READY=1\n", "nothing else that the container says");
    assert_eq!(manager.hear().0, format!("MAINPID={}\n", runtime.state(&id)["pid"]));
    let (text, pipe) = manager.hear();
    assert_eq!(text, "BARRIER=1");
    assert!(run.try_wait().expect("ask").is_none(), "it waits for the manager");
    drop(pipe.expect("a pipe with the barrier"));
    assert_eq!(code(wait(&mut run, DEADLINE).expect("run ends")), 0);
    // The socket is there before the program has begun.
    let said = || std::fs::read_to_string(bundle.rootfs("said")).unwrap_or_default();
    eventually("the program saw the socket's name", || said() == "/run/notify/notify.sock\n");
    runtime.call(&["delete", "--force", &id]).ok();
}

#[test]
fn start_tells_the_manager_too_and_ends_with_a_container_that_never_is_ready() {
    let runtime = Runtime::new();
    let (bundle, manager) = bundle(&runtime, "start");
    let folder = bundle.folder().to_str().expect("UTF-8");
    let socket = runtime.host().path("manager.sock");
    for ready in [true, false] {
        let id = runtime.id(if ready { "ready" } else { "never" });
        for arguments in [&["create", "--bundle", folder, &id][..], &["start", &id]] {
            let mut command = runtime.command(arguments);
            command.env("NOTIFY_SOCKET", &socket);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("start the runtime");
            if arguments[0] == "start" && ready {
                say(&runtime, &id, "READY=1");
                assert_eq!(manager.hear().0, "READY=1\n");
                assert_eq!(manager.hear().0, format!("MAINPID={}\n", runtime.state(&id)["pid"]));
                drop(manager.hear());
            } else if arguments[0] == "start" {
                say(&runtime, &id, "STATUS=never");
                runtime.call(&["kill", &id, "KILL"]).ok();
            }
            assert_eq!(code(wait(&mut child, DEADLINE).expect("it ends")), 0, "{arguments:?}");
        }
        runtime.call(&["delete", "--force", &id]).ok();
    }
}

#[test]
fn in_the_foreground_the_process_to_watch_is_the_runtime() {
    let runtime = Runtime::new();
    let id = runtime.id("front");
    let (bundle, manager) = bundle(&runtime, "front");
    let folder = bundle.folder().to_str().expect("UTF-8");
    let mut command = runtime.command(&["run", "--bundle", folder, &id]);
    command
        .env("NOTIFY_SOCKET", runtime.host().path("manager.sock"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut run = Background::start(&mut command);
    say(&runtime, &id, "READY=1\n");
    assert_eq!(manager.hear().0, "READY=1\n");
    assert_eq!(manager.hear().0, format!("MAINPID={}\n", run.pid()));
    drop(manager.hear());
    runtime.call(&["kill", &id, "KILL"]).ok();
    run.terminate();
}
