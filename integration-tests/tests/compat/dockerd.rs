//! Docker's own daemon stands on our supervisor: Debian's, and a newer one with and without containerd's image store.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use dhow_integration_tests::image;
use dhow_integration_tests::peers::{Dockerd, Release};
use dhow_integration_tests::process::{Background, Done, eventually, run_with};
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_integration_tests::terminal::Terminal;

#[test]
fn dockerd_stands_on_our_supervisor() {
    stands(Release::Installed, &[]);
}

#[test]
fn a_newer_dockerd_stands_on_our_supervisor() {
    if let Some(release) = Release::newer() {
        stands(release, &[]);
    }
}

#[test]
fn a_newer_dockerd_keeps_its_images_with_us() {
    if let Some(release) = Release::newer() {
        stands(release, &["--feature", "containerd-snapshotter=true"]);
    }
}

/// A dockerd, the registry that it uses, and a folder for files.
struct Docker {
    daemon: Dockerd,
    registry: Registry,
}

impl Docker {
    #[track_caller]
    fn call(&self, line: &str) -> Done {
        self.daemon.docker(&line.split(' ').collect::<Vec<_>>())
    }

    /// Runs a line of words that must succeed.
    #[track_caller]
    fn ok(&self, line: &str) -> String {
        self.call(line).ok()
    }

    /// Runs a shell script in a container of `image`.
    #[track_caller]
    fn shell(&self, options: &str, image: &str, script: &str) -> Done {
        let words = ["run", "--rm", "--network=none"].into_iter().chain(options.split_whitespace());
        self.daemon.docker(&words.chain([image, "sh", "-c", script]).collect::<Vec<_>>())
    }

    #[track_caller]
    fn inspect(&self, format: &str, name: &str) -> String {
        self.daemon.docker(&["inspect", "-f", format, name]).ok()
    }

    fn file(&self, name: &str) -> String {
        self.daemon.host().path(name).to_str().expect("UTF-8").to_owned()
    }
}

fn stands(release: Release, options: &[&str]) {
    let supervisor = Supervisor::start();
    let socket = supervisor.socket();
    let options = [&["--containerd", socket.to_str().expect("UTF-8")], options].concat();
    let docker = Docker { daemon: Dockerd::start_release(release, &options), registry: Registry::start() };
    let events = docker.file("events");
    let mut watch = docker.daemon.command(&["events", "--format", "{{.Type}} {{.Action}}"]);
    let _watch = Background::start(watch.stdout(fs::File::create(&events).expect("a file")));

    let image = pulls_and_pushes(&docker);
    runs(&docker);
    gives_terminals(&docker);
    lives(&docker);
    changes(&docker);
    builds(&docker, &image);
    ends(&docker);
    eventually("the events arrived", || {
        let text = fs::read_to_string(&events).unwrap_or_default();
        ["create", "start", "exec_start: ", "pause", "oom", "die", "destroy"].iter().all(|action| {
            text.lines().any(|line| line.trim_end().starts_with(&format!("container {}", action.trim_end())))
        })
    });
    docker.ok("image prune --all --force");
    assert_eq!(docker.ok("images -q"), "", "nothing is left of the images");
}

/// Pulls busybox; its name on the registry.
fn pulls_and_pushes(docker: &Docker) -> String {
    let image = image::push("busybox", &docker.registry.address());
    assert!(docker.ok(&format!("pull {image}")).contains("Downloaded newer image"));
    docker.ok(&format!("tag {image} busybox"));
    let copy = format!("{}/copy:1", docker.registry.address());
    docker.ok(&format!("tag busybox {copy}"));
    docker.ok(&format!("push {copy}"));
    docker.ok(&format!("rmi {copy}"));
    docker.ok(&format!("pull {copy}"));
    let names = docker.ok("images --format {{.Repository}}:{{.Tag}}");
    assert!(names.contains("busybox:latest") && names.contains("/copy:1"), "{names}");
    docker.ok(&format!("rmi {copy}"));
    image
}

fn runs(docker: &Docker) {
    let done = docker.shell("", "busybox", "echo out; echo err >&2; exit 7").exits(7);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    docker.shell("--entrypoint=/no/such", "busybox", "").exits(127);
    let options = "--read-only --tmpfs=/t -u 1000:1000 -w /tmp -e A=b --hostname=named --pids-limit=50";
    let script = "id -u; pwd; echo $A; hostname; touch /t/made && echo made; touch /made";
    let done = docker.shell(options, "busybox", script).exits(1);
    assert_eq!(done.stdout, "1000\n/tmp\nb\nnamed\nmade\n");
    let mut cat = docker.daemon.command(&["run", "-i", "--rm", "--network=none", "busybox", "cat"]);
    assert_eq!(run_with(&mut cat, b"through\n").ok(), "through");
    assert_eq!(docker.ok("ps -aq"), "", "--rm has removed them");
}

fn gives_terminals(docker: &Docker) {
    let start = |words: &[&str]| Terminal::start(&docker.daemon.command(words));
    let mut terminal = start(&["run", "-it", "--rm", "--network=none", "--name=tty", "busybox", "sh"]);
    terminal.type_text("tty\r");
    terminal.expect("/dev/pts/0");
    terminal.expect_size(80, 24);
    let mut second = start(&["exec", "-it", "tty", "sh"]);
    second.type_text("tty; exit 6\r");
    second.expect("/dev/pts/1");
    assert_eq!(second.finish().0, 6);
    terminal.resize_seen(100, 30);
    terminal.type_text("exit 4\r");
    assert_eq!(terminal.finish().0, 4);
    docker.ok("create --network=none --name=created busybox true");
    assert_eq!(docker.inspect("{{.State.Status}}", "created"), "created");
    docker.ok("start -a created");
    assert!(docker.ok("container prune --force").contains("Deleted Containers"));
}

fn lives(docker: &Docker) {
    let script = "echo one; echo two >&2; while :; do sleep 1; done";
    let run = ["run", "-d", "--network=none", "--name=box", "-m", "64m", "busybox", "sh", "-c", script];
    docker.daemon.docker(&run).ok();
    eventually("its lines are logged", || {
        let logs = docker.call("logs box");
        (logs.stdout.as_str(), logs.stderr.as_str()) == ("one\n", "two\n")
    });
    assert_eq!(docker.ok("ps --format {{.Names}}"), "box");
    eventually("the program runs", || docker.ok("exec box cat /proc/1/comm") == "sh");
    docker.call("exec box false").exits(1);
    docker.ok("exec -d box touch /in-the-background");
    eventually("a detached exec has run", || docker.call("exec box ls /in-the-background").code == 0);
    assert!(docker.ok("top box").contains("sh -c"));
    assert!(docker.ok("stats --no-stream box").contains("/ 64MiB"));
    docker.ok("update -m 128m --memory-swap 128m box");
    assert!(docker.ok("stats --no-stream box").contains("/ 128MiB"));
    docker.ok("pause box");
    assert_eq!(docker.inspect("{{.State.Status}}", "box"), "paused");
    docker.ok("unpause box");
    docker.ok("rename box renamed");
    docker.ok("restart -t 0 renamed");
    assert_eq!(docker.inspect("{{.State.Status}}", "renamed"), "running");
    let mut wait = docker.daemon.command(&["wait", "renamed"]);
    let waited = docker.file("waited");
    let mut waiting = Background::start(wait.stdout(fs::File::create(&waited).expect("a file")));
    docker.ok("kill -s KILL renamed");
    eventually("wait returns", || !waiting.is_running());
    eventually("it has stopped", || docker.inspect("{{.State.ExitCode}}", "renamed") == "137");
    docker.ok("start renamed");
    docker.ok("stop -t 1 renamed");
    docker.ok("run -d -i --network=none --name=cat busybox cat");
    let mut attach = docker.daemon.command(&["attach", "--sig-proxy=false", "cat"]);
    let attached = docker.file("attached");
    attach.stdin(Stdio::piped()).stdout(fs::File::create(&attached).expect("a file"));
    let mut attach = attach.spawn().expect("start docker attach");
    let mut typing = attach.stdin.take().expect("piped");
    typing.write_all(b"typed\n").expect("type");
    eventually("attach carries both ways", || {
        fs::read_to_string(&attached).is_ok_and(|text| text == "typed\n")
    });
    docker.ok("rm -f cat");
    attach.wait().expect("attach ends with the container");
}

/// What a container has changed becomes archives and images.
fn changes(docker: &Docker) {
    docker.ok("start renamed");
    fs::write(docker.file("given"), "data\n").expect("write");
    docker.ok(&format!("cp {} renamed:/data", docker.file("given")));
    docker.ok(&format!("cp renamed:/data {}", docker.file("taken")));
    assert_eq!(fs::read_to_string(docker.file("taken")).expect("copied"), "data\n");
    assert!(docker.ok("diff renamed").contains("A /data"));
    docker.ok("commit -m changed renamed committed:1");
    assert_eq!(docker.shell("", "committed:1", "cat /data").ok(), "data");
    docker.ok(&format!("export -o {} renamed", docker.file("exported.tar")));
    docker.ok(&format!("import {} imported:1", docker.file("exported.tar")));
    assert_eq!(docker.shell("", "imported:1", "cat /data").ok(), "data");
    docker.ok(&format!("save -o {} committed:1", docker.file("saved.tar")));
    docker.ok("rmi committed:1");
    assert!(docker.ok(&format!("load -i {}", docker.file("saved.tar"))).contains("committed:1"));
    assert_eq!(docker.shell("", "committed:1", "cat /data").ok(), "data");
}

fn builds(docker: &Docker, image: &str) {
    let context = docker.daemon.host().folder("context");
    let text = format!(
        "FROM {image}\nENV A=b\nCOPY data /copied\nRUN cat /copied > /built && echo $A >> /built\n\
         HEALTHCHECK --interval=1s CMD cat /built\nCMD [\"cat\", \"/built\"]\n"
    );
    fs::write(context.join("Dockerfile"), text).expect("write");
    fs::write(context.join("data"), "data\n").expect("write");
    let folder = context.to_str().expect("UTF-8");
    let mut build = docker.daemon.command(&["build", "--network=none", "-t", "built:1", folder]);
    run_with(build.env("DOCKER_BUILDKIT", "0"), b"").ok();
    assert_eq!(docker.ok("run --rm --network=none built:1"), "data\nb");
    assert!(docker.ok("history --format {{.CreatedBy}} built:1").contains("COPY"));
    docker.ok("run -d --network=none --name=healthy built:1 sleep 1000");
    eventually("it is healthy", || docker.inspect("{{.State.Health.Status}}", "healthy") == "healthy");
}

fn ends(docker: &Docker) {
    // containerd's shim keeps the news to itself when the cgroup is gone before it looks.
    eventually("a kill for want of memory is told", || {
        docker.call("rm -f oom");
        docker
            .call("run --network=none --name=oom -m 16m --memory-swap 16m busybox tail /dev/zero")
            .exits(137);
        docker.inspect("{{.State.OOMKilled}}", "oom") == "true"
    });
    docker.ok("run -d --network=none --name=again --restart=on-failure:2 busybox false");
    eventually("it was restarted twice", || {
        docker.inspect("{{.RestartCount}} {{.State.Status}}", "again") == "2 exited"
    });
    docker.ok("volume create kept");
    assert_eq!(docker.ok("volume ls -q"), "kept");
    docker.shell("-v kept:/kept", "busybox", "echo kept > /kept/file").ok();
    assert_eq!(docker.shell("-v kept:/kept:ro", "busybox", "cat /kept/file").ok(), "kept");
    docker.ok("volume rm kept");
    let used = docker.ok("system df --format {{.Type}}:{{.TotalCount}}");
    assert!(used.contains("Containers:4"), "{used}");
    docker.ok("rm -f renamed healthy oom again");
    assert_eq!(docker.ok("ps -aq"), "");
}
