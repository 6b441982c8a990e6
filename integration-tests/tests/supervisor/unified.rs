//! Tasks on a host that systemd and cgroup v2 rule.

use dhow_integration_tests::client::{Client, block_on_within};
use dhow_integration_tests::image::{self, BUSYBOX};
use dhow_integration_tests::needs;
use dhow_integration_tests::process::{DEADLINE, call, eventually};
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::events::v1::SubscribeRequest;
use dhow_proto::containerd::services::events::v1::events_client::EventsClient;

fn with_image() -> Supervisor {
    let supervisor = Supervisor::start_on_our_names();
    supervisor.ctr(&["images", "import", &image::archive(supervisor.host())]).ok();
    supervisor
}

/// `ctr run -d` on our shim, by the name for which alone `ctr` has options.
fn start(supervisor: &Supervisor, options: &[&str], command: &[&str]) {
    let run = ["run", "-d", "--runtime", "io.containerd.runc.v2"];
    supervisor.ctr(&[&run[..], options, &[BUSYBOX], command].concat()).ok();
}

fn end(supervisor: &Supervisor, task: &str) {
    supervisor.ctr(&["tasks", "kill", "-s", "SIGKILL", task]);
    eventually("it stopped", || supervisor.ctr(&["tasks", "ls"]).ok().contains("STOPPED"));
    supervisor.ctr(&["tasks", "delete", task]);
    supervisor.ctr(&["containers", "delete", task]).ok();
}

#[test]
fn a_scope_of_systemd_holds_the_task() {
    if !needs::systemd() || !needs::cgroup2() {
        return;
    }
    let supervisor = with_image();
    let (id, limit) = (format!("{}-scope", supervisor.host().name()), (64 << 20).to_string());
    let cgroup = format!("system.slice:test:{id}");
    let options = ["--runc-systemd-cgroup", "--cgroup", &cgroup, "--memory-limit", &limit];
    start(&supervisor, &options, &[&id, "sleep", "1000"]);
    let unit = format!("test-{id}.scope");
    let show = || call("systemctl", &["show", "-p", "LoadState,MemoryMax,ControlGroup", &unit]).ok();
    let told = show();
    assert!(told.contains(&format!("MemoryMax={limit}")), "{told}");
    assert!(told.contains(&format!("ControlGroup=/system.slice/{unit}")), "{told}");
    supervisor.ctr(&["tasks", "exec", "--exec-id", "exec", &id, "sh", "-c", "exit 9"]).exits(9);
    let metrics = supervisor.ctr(&["tasks", "metrics", &id]).ok();
    for name in ["pids.current", "memory.usage_limit", "cpu.usage_usec"] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    assert!(metrics.contains(&limit), "{metrics}");
    supervisor.ctr(&["tasks", "pause", &id]).ok();
    assert!(supervisor.ctr(&["tasks", "ls"]).ok().contains("PAUSED"));
    supervisor.ctr(&["tasks", "resume", &id]).ok();
    end(&supervisor, &id);
    eventually("the unit is gone", || show().contains("LoadState=not-found"));
}

#[test]
fn a_kill_for_want_of_memory_is_an_event() {
    if !needs::cgroup2() {
        return;
    }
    let supervisor = with_image();
    let limit = (16 << 20).to_string();
    block_on_within(DEADLINE, async {
        let client = Client::connect_as(&supervisor.socket(), supervisor.host().name()).await;
        let request = SubscribeRequest { filters: vec![r#"topic=="/tasks/oom""#.to_owned()] };
        let mut events = EventsClient::new(client.channel());
        let mut events = events.subscribe(client.request(request)).await.expect("subscribe").into_inner();
        start(&supervisor, &["--memory-limit", &limit], &["hungry", "tail", "/dev/zero"]);
        let event = events.message().await.expect("an event").expect("the stream goes on");
        assert_eq!(event.topic, "/tasks/oom");
    });
    end(&supervisor, "hungry");
}
