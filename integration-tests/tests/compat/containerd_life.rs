//! The life of a container under a stock containerd: on our runtime below its own shim, on our shim, and on both under
//! runc's names. `ctr` drives it; what `ctr` cannot ask for goes through the API.

use std::fs;

use dhow_integration_tests::binaries;
use dhow_integration_tests::client::{Client, block_on};
use dhow_integration_tests::peers::{Containerd, Release};
use dhow_integration_tests::process::{Background, eventually};
use dhow_integration_tests::stack::processes;
use dhow_integration_tests::terminal::Terminal;
use dhow_proto::any;
use dhow_proto::containerd::services::tasks::v1::UpdateTaskRequest;

use crate::containerd::{IMAGE, OURS, add_image, stopped_with_137};

/// What `ctr events` must have told after a life.
const TOPICS: [&str; 9] = [
    "/tasks/create",
    "/tasks/start",
    "/tasks/exec-added",
    "/tasks/exec-started",
    "/tasks/paused",
    "/tasks/resumed",
    "/tasks/exit",
    "/tasks/delete",
    "/containers/delete",
];

#[test]
fn our_runtime_is_its_runc() {
    lives(Release::Installed, &["--runc-binary", &runtime()]);
}

#[test]
fn our_runtime_is_the_runc_of_a_newer_one() {
    if let Some(release) = Release::newer() {
        lives(release, &["--runc-binary", &runtime()]);
    }
}

#[test]
fn our_shim_is_its_shim() {
    lives(Release::Installed, &OURS);
}

#[test]
fn our_shim_is_the_shim_of_a_newer_one() {
    if let Some(release) = Release::newer() {
        lives(release, &OURS);
    }
}

#[test]
fn our_binaries_stand_in_under_runcs_names() {
    let stock = Stock { containerd: add_image(Containerd::start_on_our_names()), options: &[] };
    stock.runs();
    stock.is_driven();
    stock.start("task");
    let ours = binaries::path("containerd-shim-dhow-v2").canonicalize().expect("it exists");
    let shims = processes("containerd-shim-runc-v2");
    let mine = shims.iter().find(|(_, line)| line.contains(stock.containerd.host().name())).expect("a shim");
    assert_eq!(fs::read_link(format!("/proc/{}/exe", mine.0)).expect("its program"), ours);
    stock.ends("task");
}

fn runtime() -> String {
    binaries::runtime().to_str().expect("UTF-8").to_owned()
}

fn lives(release: Release, options: &[&str]) {
    let stock = Stock { containerd: add_image(Containerd::start_release(release)), options };
    let events = stock.containerd.host().path("events");
    let mut watch = stock.containerd.ctr_command(&["events"]);
    let _watch = Background::start(watch.stdout(fs::File::create(&events).expect("a file")));
    stock.runs();
    stock.gives_terminals();
    stock.is_driven();
    stock.is_updated();
    stock.maps_users();
    let told = |topic: &str| fs::read_to_string(&events).unwrap_or_default().contains(topic);
    // containerd's shim keeps the news to itself when the cgroup is gone before it looks.
    eventually("a kill for want of memory is told", || {
        stock.runs_out_of_memory();
        told("/tasks/oom")
    });
    eventually("the events arrived", || TOPICS.iter().all(|topic| told(topic)));
}

/// A stock containerd, and the options of `ctr run` that put a part of ours below it.
struct Stock<'a> {
    containerd: Containerd,
    options: &'a [&'a str],
}

impl Stock<'_> {
    /// `ctr run` with these options, container, and command.
    fn run<'b>(&'b self, options: &[&'b str], id: &'b str, command: &[&'b str]) -> Vec<&'b str> {
        [&["run"], options, self.options, &[IMAGE, id], command].concat()
    }

    /// A container that sleeps.
    #[track_caller]
    fn start(&self, id: &str) {
        self.containerd.ctr(&self.run(&["-d"], id, &["sleep", "1000"])).ok();
        // Started is said a moment before the process is its program.
        eventually("the program runs", || self.exec(id, &["cat", "/proc/1/comm"]).ok() == "sleep");
    }

    fn exec(&self, id: &str, command: &[&str]) -> dhow_integration_tests::process::Done {
        self.containerd.ctr(&[&["tasks", "exec", "--exec-id", "e", id], command].concat())
    }

    fn ends(&self, id: &str) {
        self.containerd.ctr(&["tasks", "kill", "-s", "SIGKILL", id]).ok();
        stopped_with_137(&self.containerd, id);
    }

    fn runs(&self) {
        let script = ["sh", "-c", "echo out; echo err >&2; exit 3"];
        let done = self.containerd.ctr(&self.run(&["--rm"], "one", &script)).exits(3);
        assert_eq!((done.stdout.as_str(), done.stderr.lines().next()), ("out\n", Some("err")));
        let missing = self.containerd.ctr(&self.run(&["--rm"], "none", &["/no/such"])).exits(1);
        assert!(missing.stderr.contains("no such file or directory"), "{}", missing.stderr);
    }

    fn gives_terminals(&self) {
        let command = self.containerd.ctr_command(&self.run(&["--rm", "-t"], "tty", &["sh"]));
        let mut terminal = Terminal::start(&command);
        terminal.expect("# ");
        terminal.type_text("tty\r");
        terminal.expect("/dev/pts/0");
        let exec = ["tasks", "exec", "-t", "--exec-id", "e", "tty", "sh"];
        let mut second = Terminal::start(&self.containerd.ctr_command(&exec));
        second.expect("# ");
        second.type_text("tty; exit 6\r");
        second.expect("/dev/pts/1");
        assert_eq!(second.finish().0, 6);
        terminal.expect("# ");
        terminal.type_text("exit 4\r");
        assert_eq!(terminal.finish().0, 4);
    }

    fn is_driven(&self) {
        self.start("task");
        self.exec("task", &["sh", "-c", "exit 9"]).exits(9);
        let pid = self.containerd.init_pid("task").to_string();
        let ctr = |arguments: &[&str]| self.containerd.ctr(arguments);
        assert!(ctr(&["tasks", "ps", "task"]).ok().contains(&pid));
        ctr(&["tasks", "pause", "task"]).ok();
        assert!(ctr(&["tasks", "ls"]).ok().contains("PAUSED"));
        let refused = self.exec("task", &["true"]).exits(1);
        assert!(refused.stderr.contains("cannot exec in a paused"), "{}", refused.stderr);
        ctr(&["tasks", "resume", "task"]).ok();
        let metrics = ctr(&["tasks", "metrics", "task"]).ok();
        assert!(metrics.contains("memory.usage_in_bytes") || metrics.contains("memory.usage"), "{metrics}");
        self.ends("task");
    }

    fn is_updated(&self) {
        self.start("updated");
        let host = self.containerd.host();
        let resources = br#"{"memory":{"limit":67108864},"pids":{"limit":77},"cpu":{"shares":512}}"#;
        block_on(async {
            let client = Client::connect_as(&self.containerd.socket(), host.name()).await;
            let request = UpdateTaskRequest {
                container_id: "updated".to_owned(),
                resources: Some(any::pack_json(any::RESOURCES_URL, resources.to_vec())),
                ..UpdateTaskRequest::default()
            };
            client.tasks().update(client.request(request)).await.expect("update");
        });
        // Of cgroup v1 and of v2; of which the host has one.
        for controls in [
            [("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864")],
            [("pids.max", "77"), ("pids.max", "77")],
            [("cpu.shares", "512"), ("cpu.weight", "59")],
        ] {
            let files = host.cgroup_folders("updated");
            let mut values = files.iter().flat_map(|folder| {
                controls.map(|(name, expected)| (fs::read_to_string(folder.join(name)), expected))
            });
            let found = values.find_map(|(value, expected)| Some((value.ok()?, expected)));
            let (value, expected) = found.unwrap_or_else(|| panic!("none of {controls:?} in {files:?}"));
            assert_eq!(value.trim(), expected, "{controls:?}");
        }
        self.ends("updated");
    }

    fn runs_out_of_memory(&self) {
        let limit = ["--rm", "--memory-limit", "16777216"];
        self.containerd.ctr(&self.run(&limit, "oom", &["tail", "/dev/zero"])).exits(137);
    }

    fn maps_users(&self) {
        let map = ["--rm", "--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
        let script = "cat /proc/self/uid_map; id -u; touch /made && stat -c %u /made";
        let output = self.containerd.ctr(&self.run(&map, "mapped", &["sh", "-c", script])).ok();
        let words: Vec<&str> = output.split_whitespace().collect();
        assert_eq!(words, ["0", "100000", "65536", "0", "0"]);
    }
}
