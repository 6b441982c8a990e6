//! containerd's own shim, with runc, under our supervisor.

use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::image;
use dhow_integration_tests::process::{Background, eventually};
use dhow_integration_tests::stack::processes;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_integration_tests::terminal::Terminal;
use dhow_proto::containerd::services::tasks::v1::{DeleteProcessRequest, GetRequest, WaitRequest};
use dhow_proto::containerd::v1::types::{Process, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const IMAGE: &str = image::BUSYBOX;
const SHIM: &str = "containerd-shim-runc-v2";

/// With a task that sleeps.
fn with_task() -> Supervisor {
    let supervisor = Supervisor::with_busybox();
    supervisor.ctr(&["run", "-d", IMAGE, "task", "sleep", "1000"]).ok();
    assert!(shim(&supervisor).is_some(), "it is containerd's shim that runs it");
    supervisor
}

fn shim(supervisor: &Supervisor) -> Option<Pid> {
    let name = supervisor.host().name();
    processes(SHIM).into_iter().find(|(_, line)| line.contains(name)).map(|(pid, _)| pid)
}

/// A process of the task; its init without an id.
fn process(supervisor: &Supervisor, exec_id: &str) -> Process {
    block_on(async {
        let client = connect(supervisor).await;
        let request = GetRequest { container_id: "task".to_owned(), exec_id: exec_id.to_owned() };
        client.tasks().get(client.request(request)).await.expect("get").into_inner().process.expect("one")
    })
}

async fn connect(supervisor: &Supervisor) -> Client {
    Client::connect_as(&supervisor.socket(), supervisor.host().name()).await
}

fn pid(process: &Process) -> Pid {
    Pid::from_raw(i32::try_from(process.pid).expect("a pid"))
}

fn crash(supervisor: &mut Supervisor) {
    supervisor.kill();
    supervisor.launch();
}

/// Collects the supervisor's events in a file until dropped.
fn watch(supervisor: &Supervisor) -> (Background, impl Fn(&str) -> bool) {
    let events = supervisor.host().path("events");
    let mut watch = supervisor.ctr_command(&["events"]);
    watch.stdout(std::fs::File::create(&events).expect("make a file"));
    let watch = Background::start(&mut watch);
    // A first event shows that it listens.
    eventually("events are told", || {
        supervisor.ctr(&["namespaces", "label", supervisor.host().name(), "seen=yes"]).ok();
        !std::fs::read_to_string(&events).unwrap_or_default().is_empty()
    });
    (watch, move |topic| std::fs::read_to_string(&events).unwrap_or_default().contains(topic))
}

fn stopped_with_137(supervisor: &Supervisor) {
    eventually("it stopped", || supervisor.ctr(&["tasks", "ls"]).ok().contains("STOPPED"));
    assert!(supervisor.ctr(&["tasks", "delete", "task"]).stderr.contains("code 137"));
    supervisor.ctr(&["containers", "rm", "task"]).ok();
    eventually("its shim has left", || shim(supervisor).is_none());
}

/// The shell's terminal gets this size, soon; `ctr` ends its lines with one carriage return more than the shell.
fn expect_size(terminal: &mut Terminal, size: &str) {
    eventually("the size arrives", || {
        // Not typed ahead: the terminal would echo that in the middle of other output.
        terminal.expect("# ");
        terminal.type_text("stty size\r");
        terminal.expect("\n");
        terminal.expect("\n").starts_with(&format!("{size}\r"))
    });
}

#[test]
fn gives_a_terminal() {
    let supervisor = Supervisor::with_busybox();
    let run = supervisor.ctr_command(&["run", "--rm", "-t", IMAGE, "task", "sh"]);
    let mut terminal = Terminal::start(&run);
    terminal.expect("# ");
    terminal.type_text("tty\r");
    terminal.expect("/dev/pts/0");
    expect_size(&mut terminal, "24 80");
    terminal.resize(100, 30);
    expect_size(&mut terminal, "30 100");
    let exec = supervisor.ctr_command(&["tasks", "exec", "-t", "--exec-id", "e1", "task", "sh"]);
    let mut second = Terminal::start(&exec);
    second.expect("# ");
    second.type_text("tty; exit 6\r");
    second.expect("/dev/pts/1");
    assert_eq!(second.finish().0, 6);
    terminal.expect("# ");
    terminal.type_text("exit 4\r");
    assert_eq!(terminal.finish().0, 4);
    assert_eq!(supervisor.ctr(&["containers", "ls", "-q"]).ok(), "");
}

#[test]
fn outlives_a_killed_supervisor() {
    let mut supervisor = with_task();
    crash(&mut supervisor);
    assert!(supervisor.ctr(&["tasks", "ls"]).ok().contains("RUNNING"));
    let (_watch, told) = watch(&supervisor);
    supervisor.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
    eventually("its exit is told to the new supervisor", || told("/tasks/exit"));
    stopped_with_137(&supervisor);
}

#[test]
fn an_exit_while_the_supervisor_is_away_is_not_lost() {
    let mut supervisor = with_task();
    let init = pid(&process(&supervisor, ""));
    supervisor.kill();
    kill(init, Signal::SIGKILL).expect("kill the task");
    eventually("the shim has reaped it", || kill(init, None).is_err());
    supervisor.launch();
    let state = process(&supervisor, "");
    assert_eq!((state.status(), state.exit_status), (Status::Stopped, 137));
    assert!(state.exited_at.is_some());
    stopped_with_137(&supervisor);
}

#[test]
fn execs_outlive_a_killed_supervisor() {
    let mut supervisor = with_task();
    for exec_id in ["stays", "ends"] {
        supervisor.ctr(&["tasks", "exec", "-d", "--exec-id", exec_id, "task", "sleep", "1000"]).ok();
    }
    let ends = pid(&process(&supervisor, "ends"));
    supervisor.kill();
    kill(ends, Signal::SIGKILL).expect("kill the exec");
    eventually("the shim has reaped it", || kill(ends, None).is_err());
    supervisor.launch();
    let ended = process(&supervisor, "ends");
    assert_eq!((ended.status(), ended.exit_status), (Status::Stopped, 137));
    assert_eq!(process(&supervisor, "stays").status(), Status::Running);
    supervisor.ctr(&["tasks", "exec", "--exec-id", "new", "task", "sh", "-c", "exit 9"]).exits(9);
    block_on(async {
        let client = connect(&supervisor).await;
        let id = "task".to_owned();
        let wait = WaitRequest { container_id: id.clone(), exec_id: "stays".to_owned() };
        let (mut tasks, wait) = (client.tasks(), client.request(wait));
        let waiting = tokio::spawn(async move { tasks.wait(wait).await });
        supervisor.ctr(&["tasks", "kill", "-s", "SIGTERM", "--exec-id", "stays", "task"]).ok();
        assert_eq!(waiting.await.expect("no panic").expect("wait").into_inner().exit_status, 143);
        for (exec_id, status) in [("stays", 143), ("ends", 137)] {
            let request = DeleteProcessRequest { container_id: id.clone(), exec_id: exec_id.to_owned() };
            let deleted = client.tasks().delete_process(client.request(request)).await.expect("delete");
            assert_eq!(deleted.into_inner().exit_status, status, "{exec_id}");
        }
    });
    supervisor.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
    stopped_with_137(&supervisor);
}

/// Also when the supervisor was not there to see it.
#[test]
fn what_it_leaves_when_killed_is_cleaned_away() {
    let mut supervisor = with_task();
    let bundle = {
        let folder = supervisor.host().path("state/io.containerd.runtime.v2.task");
        folder.join(supervisor.host().name()).join("task")
    };
    for watched in [true, false] {
        let init = pid(&process(&supervisor, ""));
        let shim = shim(&supervisor).expect("a shim");
        if watched {
            let (_watch, told) = watch(&supervisor);
            kill(shim, Signal::SIGKILL).expect("kill the shim");
            eventually("the exit is told", || told("/tasks/exit") && told("/tasks/delete"));
        } else {
            supervisor.kill();
            kill(shim, Signal::SIGKILL).expect("kill the shim");
            supervisor.launch();
        }
        eventually("the container is gone", || kill(init, None).is_err());
        eventually("its bundle is gone", || !bundle.exists());
        assert!(!supervisor.ctr(&["tasks", "ls"]).ok().contains("task "));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(bundle.to_str().expect("UTF-8")), "{mounts}");
        // The same container starts again at once.
        supervisor.ctr(&["tasks", "start", "-d", "task"]).ok();
    }
    supervisor.ctr(&["tasks", "kill", "-s", "SIGKILL", "task"]).ok();
    stopped_with_137(&supervisor);
}
