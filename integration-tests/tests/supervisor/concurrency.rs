//! Many clients at once, each with containers of its own: what each is told is true, nothing hangs, nothing is left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dhow_integration_tests::life::{Lives, import_busybox};
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::stack::processes;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::any;
use dhow_proto::containerd::events::{TaskCreate, TaskDelete, TaskExecStarted, TaskExit, TaskStart};
use dhow_proto::containerd::services::containers::v1::ListContainersRequest;
use dhow_proto::containerd::services::events::v1::SubscribeRequest;
use dhow_proto::containerd::services::events::v1::events_client::EventsClient;
use dhow_proto::containerd::services::tasks::v1::{ExecProcessRequest, GetRequest, ListTasksRequest};
use dhow_proto::containerd::types::Envelope;
use dhow_proto::containerd::v1::types::Status as State;
use tonic::{Code, Status};

const CLIENTS: usize = 64;
/// How long the clients work; `DHOW_STRESS_SECONDS` says otherwise.
const SECONDS: u64 = 10;
/// How long one step of one client may take before it is said to hang.
const STEP: Duration = Duration::from_secs(60);

/// What subscribers must have been told of a container, in this order.
type Story = Vec<String>;

/// Bounds a step.
async fn step<T>(what: &str, call: impl Future<Output = Result<T, Status>>) -> Result<T, String> {
    match tokio::time::timeout(STEP, call).await {
        Ok(answer) => answer.map_err(|status| format!("{what}: {status}")),
        Err(_) => Err(format!("{what} hangs")),
    }
}

async fn state(lives: &Lives, id: &str) -> Result<State, String> {
    let client = lives.client();
    let asking = async {
        loop {
            let request = GetRequest { container_id: id.to_owned(), ..GetRequest::default() };
            match client.tasks().get(client.request(request)).await {
                // On a machine with too much to do two seconds may be too short for a shim.
                Err(status) if status.code() == Code::DeadlineExceeded => {}
                answer => return answer,
            }
        }
    };
    let answer = step("get", asking).await?.into_inner();
    Ok(answer.process.unwrap_or_default().status())
}

fn expect<T: PartialEq + std::fmt::Debug>(
    id: &str,
    what: &str,
    found: T,
    wanted: &[T],
) -> Result<(), String> {
    if wanted.contains(&found) { Ok(()) } else { Err(format!("{id}: {what} is {found:?}, not {wanted:?}")) }
}

/// Starts, and ends by itself with a code of its own.
async fn ends(lives: &Lives, id: &str, code: u32) -> Result<Story, String> {
    step("create", lives.create(id)).await?;
    expect(id, "state after create", state(lives, id).await?, &[State::Created])?;
    let waiter = lives.clone();
    let waited = id.to_owned();
    let waiting = tokio::spawn(async move { waiter.wait(&waited, "").await });
    step("start", lives.start(id)).await?;
    expect(id, "state after start", state(lives, id).await?, &[State::Running, State::Stopped])?;
    let status = step("wait", async { waiting.await.expect("no panic") }).await?;
    expect(id, "exit status", status, &[code])?;
    expect(id, "state after exit", state(lives, id).await?, &[State::Stopped])?;
    expect(id, "status at delete", step("delete", lives.delete(id)).await?, &[code])?;
    Ok(vec!["create".into(), "start".into(), format!("exit {code}"), format!("delete {code}")])
}

/// Runs, with an exec in it, until it is killed.
async fn is_killed(lives: &Lives, id: &str, code: u32) -> Result<Story, String> {
    step("create", lives.create(id)).await?;
    step("start", lives.start(id)).await?;
    let client = lives.client();
    let exec = ExecProcessRequest {
        container_id: id.to_owned(),
        exec_id: "e".to_owned(),
        spec: Some(any::pack_json(any::PROCESS_URL, process(code).to_string().into_bytes())),
        ..ExecProcessRequest::default()
    };
    step("exec", client.tasks().exec(client.request(exec))).await?;
    step("start exec", lives.start_exec(id, "e")).await?;
    expect(id, "status of exec", step("wait for exec", lives.wait(id, "e")).await?, &[code])?;
    expect(id, "status at delete of exec", step("delete exec", lives.delete_exec(id, "e")).await?, &[code])?;
    let refused = lives.delete(id).await.map_err(|status| status.code());
    expect(id, "delete while it runs", refused, &[Err(Code::FailedPrecondition)])?;
    step("kill", lives.kill(id, "", 9)).await?;
    expect(id, "status after kill", step("wait", lives.wait(id, "")).await?, &[137])?;
    let again = lives.kill(id, "", 9).await.map_err(|status| status.code());
    expect(id, "kill after its end", again, &[Err(Code::NotFound)])?;
    expect(id, "status at delete", step("delete", lives.delete(id)).await?, &[137])?;
    let exec = [format!("exec e {code}")];
    let (before, after) = (["create", "start", "exec e started"], ["exit 137", "delete 137"]);
    Ok(before.iter().map(|&event| event.to_owned()).chain(exec).chain(after.map(str::to_owned)).collect())
}

/// Is killed as soon as it runs, while somebody waits, and deleted by two at once.
async fn is_killed_at_once(lives: &Lives, id: &str) -> Result<Story, String> {
    step("create", lives.create(id)).await?;
    let waiter = lives.clone();
    let waited = id.to_owned();
    let waiting = tokio::spawn(async move { waiter.wait(&waited, "").await });
    step("start", lives.start(id)).await?;
    step("kill", lives.kill(id, "", 9)).await?;
    expect(id, "status after kill", step("wait", async { waiting.await.expect("no panic") }).await?, &[137])?;
    let one = step("delete", lives.delete(id));
    let other = step("delete too", lives.delete(id));
    match tokio::join!(one, other) {
        (Ok(137), Ok(137) | Err(_)) | (Err(_), Ok(137)) => {}
        both => return Err(format!("{id}: deleted twice: {both:?}")),
    }
    Ok(["create", "start", "exit 137", "delete 137"].map(str::to_owned).to_vec())
}

/// Is created and deleted; it never starts.
async fn is_given_up(lives: &Lives, id: &str) -> Result<Story, String> {
    step("create", lives.create(id)).await?;
    step("delete", lives.delete(id)).await?;
    Ok(vec!["create".into()])
}

fn process(code: u32) -> serde_json::Value {
    let mut process = dhow_integration_tests::bundle::spec("", &format!("exit {code}"))["process"].take();
    process["terminal"] = false.into();
    process
}

/// Lives one life after another until `end`; the story of each.
async fn client(lives: Lives, number: usize, end: Instant) -> Result<BTreeMap<String, Story>, String> {
    let mut stories = BTreeMap::new();
    for turn in number.. {
        // Each lives one life, however slow the machine is.
        if turn > number && Instant::now() > end {
            break;
        }
        let id = format!("c{number}-{}", turn - number);
        let code = u32::try_from(turn % 100).expect("small") + 1;
        let script = format!("exit {code}");
        let args = if turn % 4 == 0 { ["sh", "-c", &script] } else { ["sh", "-c", "exec sleep 1000"] };
        step("make", lives.make(&id, &args)).await?;
        let story = match turn % 4 {
            0 => ends(&lives, &id, code).await,
            1 => is_killed(&lives, &id, code).await,
            2 => is_killed_at_once(&lives, &id).await,
            _ => is_given_up(&lives, &id).await,
        };
        stories.insert(id.clone(), story?);
        let client = lives.client();
        let gone = GetRequest { container_id: id.clone(), ..GetRequest::default() };
        let gone = client.tasks().get(client.request(gone)).await.map(drop).map_err(|status| status.code());
        expect(&id, "a deleted task", gone, &[Err(Code::NotFound)])?;
        step("remove", lives.remove(&id)).await?;
    }
    Ok(stories)
}

/// Which container an event is about, and what it says; nothing that a story needs when `None`.
fn told(event: &Envelope) -> Option<(String, String)> {
    fn unpack<M: prost::Message + prost::Name + Default>(event: &Envelope) -> Option<M> {
        any::unpack(event.event.as_ref()?)?.ok()
    }
    match event.topic.as_str() {
        "/tasks/create" => unpack::<TaskCreate>(event).map(|it| (it.container_id, "create".to_owned())),
        "/tasks/start" => unpack::<TaskStart>(event).map(|it| (it.container_id, "start".to_owned())),
        "/tasks/exec-started" => unpack::<TaskExecStarted>(event)
            .map(|it| (it.container_id, format!("exec {} started", it.exec_id))),
        "/tasks/exit" => unpack::<TaskExit>(event).map(|it| {
            let text = match it.id == it.container_id {
                true => format!("exit {}", it.exit_status),
                false => format!("exec {} {}", it.id, it.exit_status),
            };
            (it.container_id, text)
        }),
        "/tasks/delete" => {
            unpack::<TaskDelete>(event).map(|it| (it.container_id, format!("delete {}", it.exit_status)))
        }
        _ => None,
    }
}

fn open_files(supervisor: &Supervisor) -> usize {
    let pid = supervisor.pid().expect("it runs");
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("list its files").count()
}

fn entries(path: &std::path::Path) -> usize {
    std::fs::read_dir(path).map(Iterator::count).unwrap_or_default()
}

#[test]
fn many_clients_at_once_are_each_told_the_truth_and_leave_nothing() {
    let supervisor = Supervisor::start();
    import_busybox(supervisor.host(), |arguments| supervisor.ctr(arguments));
    let seconds = std::env::var("DHOW_STRESS_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(SECONDS));
    let before = open_files(&supervisor);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (wanted, found) = runtime.block_on(async {
        let socket = supervisor.socket();
        let connect = || Lives::connect(&socket, supervisor.host(), "io.containerd.dhow.v2");
        let listener = connect().await;
        let subscribe = SubscribeRequest { filters: vec!["topic~=^/tasks/".to_owned()] };
        let subscribe = listener.client().request(subscribe);
        let events = EventsClient::new(listener.client().channel()).subscribe(subscribe).await;
        let mut events = events.expect("subscribe").into_inner();
        let listening = tokio::spawn(async move {
            let mut stories = BTreeMap::<String, Story>::new();
            while let Ok(Ok(Some(event))) =
                tokio::time::timeout(Duration::from_secs(3), events.message()).await
            {
                if let Some((id, event)) = told(&event) {
                    stories.entry(id).or_default().push(event);
                }
            }
            stories
        });
        let mut clients = tokio::task::JoinSet::new();
        let end = Instant::now() + length;
        for number in 0..CLIENTS {
            clients.spawn(client(connect().await, number, end));
        }
        let mut wanted = BTreeMap::new();
        for stories in clients.join_all().await {
            wanted.extend(stories.unwrap_or_else(|error| panic!("{error}")));
        }
        let (client, namespace) = (listener.client(), ListTasksRequest::default());
        let tasks = client.tasks().list(client.request(namespace)).await.expect("list").into_inner().tasks;
        assert!(tasks.is_empty(), "{tasks:?}");
        let request = client.request(ListContainersRequest::default());
        let containers = client.containers().list(request).await.expect("list").into_inner().containers;
        assert!(containers.is_empty(), "{containers:?}");
        (wanted, listening.await.expect("no panic"))
    });
    println!("{} containers in {length:?}", wanted.len());
    assert!(wanted.len() >= CLIENTS);
    for (id, story) in &wanted {
        let mut told = found.get(id).cloned().unwrap_or_default();
        if story.len() == 1 {
            // What never ran has an end all the same; which one is the runtime's choice.
            told.truncate(1);
        }
        assert_eq!(&told, story, "{id}");
    }
    nothing_is_left(&supervisor, before);
}

/// No shim, no bundle, no directory of a snapshot, no open file more than before.
fn nothing_is_left(supervisor: &Supervisor, files_before: usize) {
    let name = supervisor.host().name();
    eventually("every shim is gone", || {
        !processes("containerd-shim-dhow-v2").iter().any(|(_, command)| command.contains(name))
    });
    let bundles = supervisor.host().path("state/io.containerd.runtime.v2.task/tests");
    eventually("every bundle is gone", || entries(&bundles) == 0);
    eventually("every socket is gone", || entries(&supervisor.host().path("s")) == 0);
    let directories = supervisor.host().path("root/io.containerd.snapshotter.v1.overlayfs/snapshots");
    eventually("only the image has a directory", || entries(&directories) == 1);
    eventually("no file is left open", || open_files(supervisor) <= files_before + 2);
}
