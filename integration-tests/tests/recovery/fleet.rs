//! A hundred tasks, a supervisor that dies, and all that can happen to them while it is away.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use dhow_integration_tests::bundle;
use dhow_integration_tests::client::block_on_within;
use dhow_integration_tests::life::{Lives, import_busybox};
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::stack::processes;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::any;
use dhow_proto::containerd::events::TaskExit;
use dhow_proto::containerd::services::events::v1::SubscribeRequest;
use dhow_proto::containerd::services::events::v1::events_client::EventsClient;
use dhow_proto::containerd::services::tasks::v1::{ExecProcessRequest, GetRequest, ListTasksRequest};
use dhow_proto::containerd::v1::types::{Process, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const COUNT: usize = 100;
/// How many are started side by side.
const AT_A_TIME: usize = 8;
/// How long each half of the test may take.
const DEADLINE: Duration = Duration::from_secs(180);
/// The others run through it all; these end while the supervisor is away.
const ENDED: Range<usize> = 60..70;
/// Run on, while an exec in each of them ends.
const EXEC_ENDED: Range<usize> = 70..80;
/// End, as an exec in each does, and then their shims are killed as well.
const ALL_ENDED: Range<usize> = 80..85;
/// Lose their shim while they run.
const ORPHANED: Range<usize> = 85..90;
/// Have a shim that is stopped: it lives and says nothing.
const SILENT: Range<usize> = 90..92;

/// Waits until it is told to end, and ends with `code`.
fn script(code: u32) -> String {
    format!("trap 'exit {code}' TERM; sleep 1000 & wait")
}

fn name(number: usize) -> String {
    format!("t{number}")
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid"))
}

/// Tells a process to end, as soon as it listens to that.
fn terminate(pid: u32) {
    eventually("it has set its trap", || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
        u64::from_str_radix(caught.trim(), 16).is_ok_and(|caught| caught & (1 << (15 - 1)) != 0)
    });
    kill(pid_of(pid), Signal::SIGTERM).expect("signal it");
}

fn shim_of(supervisor: &Supervisor, number: usize) -> Pid {
    let (host, id) = (supervisor.host().name(), format!("-id {} ", name(number)));
    let found = processes("containerd-shim-dhow-v2")
        .into_iter()
        .find(|(_, command)| command.contains(host) && format!("{command} ").contains(&id));
    found.expect("its shim runs").0
}

async fn get(lives: &Lives, number: usize, exec_id: &str) -> Option<Process> {
    let request = GetRequest { container_id: name(number), exec_id: exec_id.to_owned() };
    let answer = lives.client().tasks().get(lives.client().request(request)).await.ok()?;
    answer.into_inner().process
}

/// Starts all of them, some at a time; their pids, and those of the execs.
async fn start(lives: &Lives) -> (Vec<u32>, BTreeMap<usize, u32>) {
    let mut starting = tokio::task::JoinSet::new();
    for first in 0..AT_A_TIME {
        let lives = lives.clone();
        starting.spawn(async move {
            let mut started = Vec::new();
            for number in (first..COUNT).step_by(AT_A_TIME) {
                started.push((number, start_one(&lives, number).await));
            }
            started
        });
    }
    let mut started: Vec<_> = starting.join_all().await.into_iter().flatten().collect();
    started.sort_by_key(|(number, _)| *number);
    let execs = started.iter().filter_map(|&(number, (_, exec))| Some((number, exec?))).collect();
    (started.into_iter().map(|(_, (pid, _))| pid).collect(), execs)
}

/// Starts one, and the exec that it may have; their pids.
async fn start_one(lives: &Lives, number: usize) -> (u32, Option<u32>) {
    let id = name(number);
    lives.make(&id, &["sh", "-c", &script(33)]).await.expect("make");
    let pid = lives.create(&id).await.expect("create");
    lives.start(&id).await.expect("start");
    if !EXEC_ENDED.contains(&number) && !ALL_ENDED.contains(&number) {
        return (pid, None);
    }
    let process = bundle::spec("", &script(44))["process"].take();
    let exec = ExecProcessRequest {
        container_id: id.clone(),
        exec_id: "e".to_owned(),
        spec: Some(any::pack_json(any::PROCESS_URL, process.to_string().into_bytes())),
        ..ExecProcessRequest::default()
    };
    lives.client().tasks().exec(lives.client().request(exec)).await.expect("exec");
    lives.start_exec(&id, "e").await.expect("start the exec");
    (pid, Some(get(lives, number, "e").await.expect("the exec").pid))
}

fn strike(supervisor: &Supervisor, pids: &[u32], execs: &BTreeMap<usize, u32>) {
    let record = |number: usize, file: &str| {
        let bundle = supervisor.host().path("state/io.containerd.runtime.v2.task/tests").join(name(number));
        eventually("its exit is written down", || bundle.join(file).exists());
    };
    for number in ENDED {
        terminate(pids[number]);
    }
    execs.values().for_each(|&pid| terminate(pid));
    execs.keys().for_each(|&number| record(number, "exit-e.json"));
    for number in ALL_ENDED {
        terminate(pids[number]);
    }
    for number in ENDED.chain(ALL_ENDED) {
        record(number, "exit.json");
    }
    for number in ALL_ENDED.chain(ORPHANED) {
        kill(shim_of(supervisor, number), Signal::SIGKILL).expect("kill the shim");
    }
    for number in SILENT {
        kill(shim_of(supervisor, number), Signal::SIGSTOP).expect("stop the shim");
    }
}

/// The exits that a new subscriber is told, by container: of what, and how it ended.
async fn told(lives: &Lives, exits: usize) -> BTreeMap<String, Vec<(String, u32)>> {
    let client = lives.client();
    let request = SubscribeRequest { filters: vec!["topic~=^/tasks/exit$".to_owned()] };
    let stream = EventsClient::new(client.channel()).subscribe(client.request(request)).await;
    let mut stream = stream.expect("subscribe").into_inner();
    let mut told = BTreeMap::<String, Vec<(String, u32)>>::new();
    for _ in 0..exits {
        let event = stream.message().await.expect("an event").expect("the stream goes on");
        let exit = any::unpack::<TaskExit>(event.event.as_ref().expect("an event")).expect("an exit");
        let exit = exit.expect("well formed");
        told.entry(exit.container_id).or_default().push((exit.id, exit.exit_status));
    }
    told
}

#[test]
fn a_hundred_tasks_are_back_with_their_true_state_and_no_exit_is_lost() {
    let mut supervisor = Supervisor::start();
    import_busybox(supervisor.host(), |arguments| supervisor.ctr(arguments));
    let runtime = "io.containerd.dhow.v2";
    let (pids, execs) = block_on_within(DEADLINE, async {
        start(&Lives::connect(&supervisor.socket(), supervisor.host(), runtime).await).await
    });
    supervisor.kill();
    strike(&supervisor, &pids, &execs);

    let begin = Instant::now();
    supervisor.launch();
    block_on_within(DEADLINE, async {
        let lives = Lives::connect(&supervisor.socket(), supervisor.host(), runtime).await;
        let request = lives.client().request(ListTasksRequest::default());
        let tasks = lives.client().tasks().list(request).await.expect("list").into_inner().tasks;
        println!("{} tasks {:?} after the start", tasks.len(), begin.elapsed());
        let tasks: BTreeMap<String, Process> =
            tasks.into_iter().map(|task| (task.id.clone(), task)).collect();
        for (number, pid) in pids.iter().enumerate() {
            let wanted = match number {
                _ if ENDED.contains(&number) => Some((Status::Stopped, *pid, 33)),
                _ if ALL_ENDED.contains(&number) || ORPHANED.contains(&number) => None,
                _ if SILENT.contains(&number) => Some((Status::Unknown, *pid, 0)),
                _ => Some((Status::Running, *pid, 0)),
            };
            let found = tasks.get(&name(number));
            let found = found.map(|task| (task.status(), task.pid, task.exit_status));
            assert_eq!(found, wanted, "{}", name(number));
        }
        let told = told(&lives, ENDED.len() + EXEC_ENDED.len() + 2 * ALL_ENDED.len() + ORPHANED.len()).await;
        for number in ENDED {
            assert_eq!(told[&name(number)], [(name(number), 33)]);
        }
        for number in EXEC_ENDED {
            assert_eq!(told[&name(number)], [("e".to_owned(), 44)]);
            assert_eq!(lives.wait(&name(number), "e").await.expect("wait for the exec"), 44);
            assert_eq!(lives.delete_exec(&name(number), "e").await.expect("delete the exec"), 44);
        }
        for number in ALL_ENDED {
            assert_eq!(told[&name(number)], [("e".to_owned(), 44), (name(number), 33)]);
        }
        for number in ORPHANED {
            assert_eq!(told[&name(number)], [(name(number), 137)]);
        }
        for number in ENDED {
            assert_eq!(lives.wait(&name(number), "").await.expect("wait"), 33);
        }
        speak_again(&supervisor, &lives).await;
        end(&lives).await;
    });
}

/// Shims that go on say what is.
async fn speak_again(supervisor: &Supervisor, lives: &Lives) {
    for number in SILENT {
        kill(shim_of(supervisor, number), Signal::SIGCONT).expect("continue the shim");
        while get(lives, number, "").await.is_none_or(|task| task.status() != Status::Running) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn end(lives: &Lives) {
    for number in 0..COUNT {
        let id = name(number);
        if !ALL_ENDED.contains(&number) && !ORPHANED.contains(&number) {
            if !ENDED.contains(&number) {
                lives.kill(&id, "", 9).await.expect("kill");
                assert_eq!(lives.wait(&id, "").await.expect("wait"), 137);
            }
            lives.delete(&id).await.expect("delete");
        }
        lives.remove(&id).await.expect("remove");
    }
}
