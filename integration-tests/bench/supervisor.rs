//! The supervisor and its shim against a stock containerd with runc's: containers through the API, `ctr`, memory.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Instant;

use dhow_integration_tests::binaries;
use dhow_integration_tests::host::Host;
use dhow_integration_tests::life::{Lives, import_busybox};
use dhow_integration_tests::peers::{Containerd, Release};
use dhow_integration_tests::supervisor::Supervisor;
use tokio::runtime::Runtime;

use crate::account::Account;
use crate::measure::{Contender, compare, succeeds};
use crate::memory::memory;

const ROUNDS: usize = 5;
/// Lives of a round, for all clients together.
const LIVES: usize = 40;
/// Idle containers whose shims are weighed.
const IDLE: usize = 50;
const SLEEP: &[&str] = &["sleep", "100000"];
const IMAGE: &str = "docker.io/library/busybox:1";

/// One of the two, running.
struct Server<'a> {
    name: &'static str,
    daemon: &'static str,
    shim: &'static str,
    runtime: &'static str,
    host: &'a Host,
    socket: PathBuf,
    account: Option<Account>,
    lives: Option<Lives>,
    count: Cell<usize>,
}

pub(crate) fn bench() {
    let ours = Supervisor::start();
    let stock = binaries::in_path("containerd").map(|_| Containerd::start_release(Release::newest()));
    let mut servers = vec![Server {
        name: "dhow",
        daemon: "dhow-supervisor",
        shim: "containerd-shim-dhow-v2",
        runtime: "io.containerd.dhow.v2",
        host: ours.host(),
        socket: ours.socket(),
        account: ours.pid().and_then(|pid| Account::open("dhow", pid)),
        lives: None,
        count: Cell::new(0),
    }];
    servers.extend(stock.as_ref().map(|stock| Server {
        name: "containerd",
        daemon: "containerd",
        shim: "containerd-shim-runc-v2",
        runtime: "io.containerd.runc.v2",
        host: stock.host(),
        socket: stock.socket(),
        account: stock.pid().and_then(|pid| Account::open("containerd", pid)),
        lives: None,
        count: Cell::new(0),
    }));
    weigh(&servers, "daemon, fresh (PSS)", Some(15.0), Server::daemon_memory);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    import_busybox(ours.host(), |arguments| ours.ctr(arguments));
    if let Some(stock) = &stock {
        import_busybox(stock.host(), |arguments| stock.ctr(arguments));
    }
    for server in &mut servers {
        let connecting = Lives::connect(&server.socket, server.host, server.runtime);
        server.lives = Some(runtime.block_on(connecting));
    }
    for clients in [1, 4] {
        let rates = servers.iter().map(|server| {
            Contender::measured(server.name, || {
                let begin = Instant::now();
                server.run(&runtime, clients).then(|| LIVES as f64 / begin.elapsed().as_secs_f64())
            })
            .goal(server.beside(2.5))
        });
        let what = format!("whole lives through the API at {clients}");
        compare(&what, "/s", ROUNDS, rates.collect());
    }
    let times = servers.iter().map(|server| {
        Contender::measured(server.name, || {
            let account = server.account.as_ref()?;
            let before = account.milliseconds()?;
            let ran = server.run(&runtime, 2);
            ran.then_some((account.milliseconds()? - before) / LIVES as f64)
        })
    });
    compare("CPU time of such a life", "ms", ROUNDS, times.collect());
    compare("ctr run --rm true", "ms", 15, servers.iter().map(ctr_run).collect());
    weigh(&servers, "daemon, used (PSS)", None, Server::daemon_memory);
    for server in &servers {
        server.start_idle(&runtime);
    }
    weigh(&servers, &format!("daemon, {IDLE} containers (PSS)"), None, Server::daemon_memory);
    weigh(&servers, &format!("{IDLE} shims together (PSS)"), Some(30.0), |server| server.shims().0);
    weigh(&servers, "private memory of a shim", Some(1.0), |server| server.shims().1);
    for server in &servers {
        server.end_idle(&runtime);
    }
}

/// Compares what the servers weigh now, in MB; ours has a goal.
fn weigh<'a>(servers: &[Server<'a>], what: &str, goal: Option<f64>, weight: impl Fn(&Server<'a>) -> f64) {
    let weight = &weight;
    let contenders = servers.iter().map(|server| {
        let goal = goal.filter(|_| server.name == "dhow");
        Contender::measured(server.name, move || Some(weight(server))).goal(goal)
    });
    compare(what, "MB", 1, contenders.collect());
}

/// `ctr run --rm`, as people type it, with one `ctr` for both; the image is in the namespace of the tests.
fn ctr_run<'a>(server: &'a Server<'_>) -> Contender<'a> {
    let namespace = dhow_integration_tests::client::NAMESPACE;
    let release = Release::newest();
    Contender::timed(server.name, move || {
        let id = server.next_id();
        let cgroup = format!("{}/{id}", server.host.cgroup());
        succeeds(&mut release.ctr(
            &server.socket,
            &[
                "-n",
                namespace,
                "run",
                "--rm",
                "--cgroup",
                &cgroup,
                "--runtime",
                server.runtime,
                IMAGE,
                &id,
                "true",
            ],
        ))
    })
    .goal(server.beside(0.4))
}

impl Server<'_> {
    /// The ratio that Dhow is to reach beside a peer.
    fn beside(&self, goal: f64) -> Option<f64> {
        (self.name != "dhow").then_some(goal)
    }

    fn next_id(&self) -> String {
        self.count.set(self.count.get() + 1);
        format!("{}-{}", self.name, self.count.get())
    }

    /// Lives [`LIVES`] lives of `true`, shared between `clients` connections; whether all ended well.
    fn run(&self, runtime: &Runtime, clients: usize) -> bool {
        runtime.block_on(async {
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..clients {
                let lives = Lives::connect(&self.socket, self.host, self.runtime).await;
                let ids: Vec<String> = (0..LIVES / clients).map(|_| self.next_id()).collect();
                running.spawn(async move {
                    for id in ids {
                        match lives.live(&id, &["true"]).await {
                            Ok(0) => {}
                            other => {
                                eprintln!("{id}: {other:?}");
                                return false;
                            }
                        }
                    }
                    true
                });
            }
            running.join_all().await.into_iter().all(|well| well)
        })
    }

    fn start_idle(&self, runtime: &Runtime) {
        let lives = self.lives.as_ref().expect("connected");
        runtime.block_on(async {
            for number in 0..IDLE {
                let id = format!("idle{number}");
                lives.make(&id, SLEEP).await.expect("make an idle container");
                lives.create(&id).await.expect("create its task");
                lives.start(&id).await.expect("start it");
            }
        });
    }

    fn end_idle(&self, runtime: &Runtime) {
        let lives = self.lives.as_ref().expect("connected");
        runtime.block_on(async {
            for number in 0..IDLE {
                let id = format!("idle{number}");
                lives.kill(&id, "", 9).await.expect("kill an idle container");
                lives.wait(&id, "").await.expect("it ends");
                lives.delete(&id).await.expect("delete its task");
                lives.remove(&id).await.expect("remove it");
            }
        });
    }

    fn daemon_memory(&self) -> f64 {
        memory(self.daemon, self.host.name()).0
    }

    /// PSS of all shims together, and the private memory of one.
    fn shims(&self) -> (f64, f64) {
        let (pss, private, count) = memory(self.shim, self.host.name());
        (pss, private / count.max(1) as f64)
    }
}
