//! Every command of `ctr`, and every flag of `ctr run`, against our supervisor: what each must print, and how it must
//! end, is what a stock containerd gives.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dhow_integration_tests::peers::Release;
use dhow_integration_tests::process::{Done, eventually, run, run_with};
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_integration_tests::{busybox, image};

/// A supervisor, a registry with busybox on it, and a `ctr` between them.
struct Ctr {
    program: PathBuf,
    supervisor: Supervisor,
    registry: Registry,
}

impl Ctr {
    fn start(release: &Release) -> Self {
        let registry = Registry::start();
        let _pushed = image::push("busybox", &registry.address());
        Self { program: release.program("ctr"), supervisor: Supervisor::start(), registry }
    }

    fn command(&self, words: &[&str]) -> Command {
        let template = self.supervisor.ctr_command(&[]);
        let mut command = Command::new(&self.program);
        command.args(template.get_args()).args(words);
        for (name, value) in template.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    }

    fn call(&self, words: &[&str]) -> Done {
        run(&mut self.command(words))
    }

    /// Runs every line of a table. A line is `CODE COMMAND [=> TEXT]`: how it must end (`?` where versions differ), and
    /// what it must print. `IMAGE` is busybox, `REG` the registry, `DIR` a folder, `'...'` one word.
    #[track_caller]
    fn table(&self, table: &str) {
        let wrong: Vec<String> = table
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .filter_map(|line| self.line(line).err())
            .collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Runs one line; what it did instead, if it was not as expected.
    fn line(&self, line: &str) -> Result<(), String> {
        let folder = self.supervisor.host().path("work");
        let (command, expected) = line.split_once(" => ").unwrap_or((line, ""));
        let filled = command
            .replace("IMAGE", &format!("{}/busybox:latest", self.registry.address()))
            .replace("REG", &self.registry.address())
            .replace("DIR", folder.to_str().expect("UTF-8"));
        let words = words(&filled);
        let (code, words) = words.split_first().expect("a code");
        let done = self.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let printed = format!("{}{}", done.stdout, done.stderr);
        let ended = code == "?" || done.code.to_string() == *code;
        let end = printed.chars().rev().take(600).collect::<Vec<_>>().into_iter().rev().collect::<String>();
        if ended && printed.contains(expected) {
            Ok(())
        } else {
            Err(format!("{line}\n[{}] {end}", done.code))
        }
    }
}

/// The words of a line; quotes hold several together.
fn words(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

const IMAGES: &str = "
    0 version => Server:
    0 plugins ls -q => overlayfs
    0 plugins ls -d id==overlayfs => linux/
    0 namespaces create other k=v
    0 namespaces label other k=w
    0 namespaces ls => k=w
    0 namespaces rm other
    0 leases create --id held
    0 leases ls -q => held
    0 leases rm held
    0 images pull --plain-http IMAGE
    0 images pull --plain-http --snapshotter native --all-platforms IMAGE
    1 images pull --plain-http REG/none:1 => not found
    0 images check => complete
    0 images ls -q name~=busybox => busybox
    0 images tag IMAGE bb:1 => bb:1
    ? images tag IMAGE bb:1
    0 images tag --force IMAGE bb:1
    0 images label bb:1 a=b => a=b
    0 images push --plain-http REG/copy:1 bb:1
    0 images export DIR/all.tar bb:1
    0 images export --platform linux/amd64 DIR/one.tar bb:1
    0 images rm bb:1 => bb:1
    0 images import DIR/all.tar
    0 images ls -q => bb:1
    0 images import --digests --base-name foo --no-unpack DIR/one.tar
    0 images ls -q name~=foo => foo@sha256
    0 images convert --oci --uncompress IMAGE conv:1 => sha256
    0 images mount IMAGE DIR/mount => DIR_MOUNT
    0 images unmount --rm DIR/mount
    0 images mount --rw IMAGE DIR/mount
    0 images unmount --rm DIR/mount
    0 images rm --sync conv:1
    0 content ls => sha256
    0 content active => REF
    0 content fetch --plain-http IMAGE
    0 content fetch --plain-http --metadata-only IMAGE
    0 oci spec => ociVersion
    1 pprof -d DIR/none.sock heap => none.sock
";

const SNAPSHOTS: &str = "
    0 snapshots ls => Committed
    0 snapshots tree => sha256
    0 snapshots prepare active CHAIN
    1 snapshots prepare active CHAIN => already exists
    0 snapshots prepare --target DIR/target mounted CHAIN => mount -t overlay
    0 snapshots view seen CHAIN
    0 snapshots label seen containerd.io/gc.root=x
    0 snapshots mounts DIR/target active => upperdir=
    0 snapshots info active => Active
    0 snapshots usage active
    0 snapshots commit done active
    0 snapshots diff --keep done
    0 snapshots diff --ref named done CHAIN
    0 snapshots rm mounted
    1 snapshots rm CHAIN => cannot remove snapshot with child: failed precondition
    0 snapshots rm seen
    0 snapshots rm done
    1 snapshots rm none => not found
    0 snapshots unpack DIGEST => done
    0 snapshots --snapshotter native ls
    1 snapshots --snapshotter none ls => snapshotter not loaded: none: invalid argument
    0 content get DIGEST => config
    0 content label DIGEST x=y => x=y
    0 content fetch-object --plain-http IMAGE DIGEST => config
    0 content push-object --plain-http REG/copy:2 DIGEST application/vnd.oci.image.manifest.v1+json
    ? content delete sha256:0000000000000000000000000000000000000000000000000000000000000000
";

const TASKS: &str = "
    0 containers create IMAGE task sleep 1000
    1 containers create IMAGE task true => already exists
    0 containers ls -q id==task => task
    0 containers info --spec task => ociVersion
    0 containers label task l=m => l=m
    0 containers ls labels.l==m => task
    1 containers info none => container \"none\" in namespace
    0 tasks start -d task
    1 tasks start -d task => task task: already exists
    0 tasks ls => RUNNING
    0 tasks ps task => PID
    0 tasks metrics task => pids.current
    0 tasks metrics --format json task => memory
    0 tasks pause task
    0 tasks ls => PAUSED
    0 tasks resume task
    0 tasks exec --exec-id e1 task echo hi => hi
    4 tasks exec --exec-id e2 --user 1000:1000 --cwd /tmp task sh -c 'pwd; sleep 1; exit 4' => /tmp
    0 tasks exec --exec-id e3 -d task sleep 1000
    1 tasks exec --exec-id e3 -d task sleep 1000 => already exists
    0 tasks exec --exec-id e4 -d --log-uri file://DIR/exec.log task echo logged
    1 tasks exec --exec-id e5 task none => executable file not found in $PATH
    0 tasks kill --exec-id e3 task
    1 tasks kill --exec-id none task => not found
    1 tasks checkpoint task => criu
    1 tasks rm task => must be stopped before deletion
    1 containers rm task => cannot delete a non stopped container
    0 containers checkpoint --rw --image task kept:1
    0 tasks kill -s SIGKILL task
";

const AFTER: &str = "
    0 tasks rm task
    1 tasks rm task => task task not found
    0 containers rm task
    1 containers rm task => not found
    0 run -d IMAGE again sleep 1000
    0 tasks rm -f again
    0 containers rm again
    1 run --rm none:1 x true => not found
    1 run --rm IMAGE x none => executable file not found in $PATH
    1 run --rm IMAGE bad/id true => identifier \"bad/id\" must match
    1 run --rm --runtime io.containerd.none.v1 IMAGE x true => failed to start shim: failed to resolve runtime path: runtime \"io.containerd.none.v1\" binary not installed \"containerd-shim-none-v1\": file does not exist
    1 run --rm --runtime none IMAGE x true => invalid runtime name none
    1 run --rm --snapshotter none IMAGE x true => none
    0 install IMAGE
    1 install IMAGE => cannot replace
    0 install --path DIR/installed --libs --replace IMAGE
    0 content prune references
";

const RUN: &str = "
    5 run --rm IMAGE r sh -c 'echo out; exit 5' => out
    0 run --rm --env A=b --env-file DIR/env --cwd /tmp IMAGE r sh -c 'echo $A $C; pwd' => b file
    1 run --rm --read-only IMAGE r touch /x => Read-only file system
    0 run --rm --net-host IMAGE r ls /sys/class/net => lo
    0 run --rm --mount type=bind,src=DIR,dst=/host,options=rbind:ro IMAGE r cat /host/env => C=file
    0 run --rm --memory-limit 33554432 --cpus 0.5 IMAGE r cat /proc/self/cgroup
    0 run --rm --cpu-quota 20000 --cpu-period 50000 --cpu-shares 512 IMAGE r true
    0 run --rm --device /dev/full IMAGE r ls -l /dev/full => crw
    0 run --rm --cap-add CAP_NET_ADMIN --cap-drop CAP_CHOWN IMAGE r grep CapEff /proc/self/status => 00000000a80435fa
    0 run --rm --seccomp IMAGE r grep Seccomp: /proc/self/status => 2
    0 run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 IMAGE r cat /proc/self/uid_map => 100000
    ? run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 --remap-labels IMAGE r cat /proc/self/uid_map
    ? snapshots rm r
    0 run --rm --snapshotter native IMAGE r echo native => native
    0 run --rm --rootfs DIR/rootfs r /bin/echo rootfs => rootfs
    0 run --rm --config DIR/config.json r => configured
    0 run --rm --pid-file DIR/pid IMAGE r true
    0 run --rm --cgroup /CGROUP/named IMAGE r grep -m1 named /proc/self/cgroup => named
    0 run --rm --runc-binary /usr/sbin/runc IMAGE r echo runc => runc
    0 run --rm --runc-root DIR/runc IMAGE r echo root => root
    0 run --rm --no-pivot IMAGE r echo still => still
    0 run --rm --null-io IMAGE r echo nothing
    0 run --rm --fifo-dir DIR/fifos IMAGE r echo fifo => fifo
    0 run --rm --label a=b --annotation c=d --snapshotter-label e=f IMAGE r echo labelled => labelled
    0 run --rm --allow-new-privs IMAGE r grep NoNewPrivs /proc/self/status => 0
    0 run --rm --rootfs-propagation shared IMAGE r echo shared => shared
    0 run --rm --runtime io.containerd.dhow.v2 IMAGE r echo ours => ours
    0 run -d --log-uri file://DIR/task.log IMAGE logging sh -c 'echo logged; sleep 1000'
    0 tasks rm -f logging
    0 containers rm logging
";

#[test]
fn every_command_of_ctr_works() {
    let ctr = Ctr::start(&Release::Installed);
    prepare(&ctr);
    everything(&ctr);
}

#[test]
fn every_command_of_a_newer_ctr_works() {
    let Some(release) = Release::newer() else { return };
    let ctr = Ctr::start(&release);
    prepare(&ctr);
    everything(&ctr);
    ctr.table(
        "
        0 info => uuid
        0 deprecations list
        0 plugins inspect-runtime --runtime io.containerd.dhow.v2 => mountExtensions
        1 plugins inspect-runtime --runtime io.containerd.none.v2 => binary not installed
        0 images pull --plain-http IMAGE
        0 images pull --local --plain-http IMAGE
        1 images pull --http-dump --plain-http IMAGE => http_debug
        0 images inspect --content IMAGE => diff_ids
        0 images usage IMAGE
        0 images push --local --plain-http REG/copy:3 IMAGE
        0 images export --local DIR/local.tar IMAGE
        0 images import --local --index-name index:1 DIR/local.tar
        0 images import --snapshotter native DIR/local.tar
        0 images tag --local IMAGE t:1
        0 content fetch-blob --plain-http IMAGE CONFIG => rootfs
        0 run --rm --user nobody --hostname named IMAGE r sh -c 'id -u; hostname' => 65534
        0 run --rm --cpuset-cpus 0 --cpuset-mems 0 IMAGE r grep Cpus_allowed_list /proc/self/status => 0
        0 run --rm --privileged --privileged-without-host-devices --runtime io.containerd.dhow.v2 IMAGE r ls /dev
        1 run --rm --sandbox none --runtime io.containerd.none.v1 IMAGE r true => binary not installed
        0 sandboxes run --runtime io.containerd.dhow.v2 DIR/config.json pod => pod
        0 run --rm --sandbox pod --runtime io.containerd.dhow.v2 IMAGE r echo joined => joined
        0 sandboxes ls => pod
        1 sandboxes run DIR/config.json pod => already exists
        0 sandboxes rm pod => deleted: pod
        0 images prune --all
        "
        .replace("CONFIG", &config_digest(&ctr))
        .as_str(),
    );
}

/// The files that the tables name.
fn prepare(ctr: &Ctr) {
    let folder = ctr.supervisor.host().folder("work");
    for name in ["fifos", "installed", "mount", "target"] {
        fs::create_dir_all(folder.join(name)).expect("make a folder");
    }
    fs::write(folder.join("env"), "C=file\n").expect("write");
    busybox::tree(&folder.join("rootfs"));
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "root": { "path": folder.join("rootfs") },
        "process": { "args": ["echo", "configured"], "cwd": "/", "env": ["PATH=/bin"], "user": { "uid": 0, "gid": 0 } },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": {
            "cgroupsPath": format!("{}/configured", ctr.supervisor.host().cgroup()),
            "namespaces": [{ "type": "pid" }, { "type": "mount" }]
        }
    });
    fs::write(folder.join("config.json"), config.to_string()).expect("write");
}

fn everything(ctr: &Ctr) {
    let mount = ctr.supervisor.host().path("work/mount");
    ctr.table(&IMAGES.replace("DIR_MOUNT", mount.to_str().expect("UTF-8")));
    let (manifest, chain) = (manifest_digest(ctr), chain_id(ctr));
    ctr.table(&SNAPSHOTS.replace("CHAIN", &chain).replace("DIGEST", &manifest));
    ingests(ctr);
    ctr.table(TASKS);
    eventually("it stopped", || ctr.call(&["tasks", "ls"]).stdout.contains("STOPPED"));
    ctr.table(&RUN.replace("CGROUP", ctr.supervisor.host().name()));
    let logged = |name: &str| fs::read_to_string(ctr.supervisor.host().path("work").join(name));
    for log in ["exec.log", "task.log"] {
        assert_eq!(logged(log).expect("a log"), "logged\n", "{log}");
    }
    assert!(logged("pid").is_ok_and(|pid| pid.parse::<u32>().is_ok()), "--pid-file");
    ctr.table(AFTER);
}

/// Content that comes over stdin, and is edited.
fn ingests(ctr: &Ctr) {
    let hello = "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    let ingest = |name: &str, text: &[u8]| {
        let words = ["content", "ingest", "--expected-size", "6", "--expected-digest", hello, name];
        run_with(&mut ctr.command(&words), text)
    };
    assert!(ingest("wrong", b"other\n").exits(1).stderr.contains("unexpected commit digest"));
    assert!(ctr.call(&["content", "active"]).ok().contains("wrong"), "it may be continued");
    ingest("right", b"hello\n").exits(0);
    let edited = ctr.call(&["content", "edit", "--editor", "truncate -s 4", hello]).ok();
    assert_eq!(ctr.call(&["content", "get", edited.trim()]).ok(), "hell");
    ctr.call(&["content", "delete", hello]).ok();
    ctr.call(&["content", "get", hello]).exits(1);
}

fn manifest_digest(ctr: &Ctr) -> String {
    let images = ctr.call(&["images", "ls"]).ok();
    let line = images.lines().find(|line| line.contains("/busybox:latest")).expect("the image").to_owned();
    line.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest").to_owned()
}

fn document(ctr: &Ctr, digest: &str) -> serde_json::Value {
    serde_json::from_str(&ctr.call(&["content", "get", digest]).ok()).expect("JSON")
}

fn config_digest(ctr: &Ctr) -> String {
    let reference = format!("{}/busybox:latest", ctr.registry.address());
    ctr.call(&["images", "pull", "--plain-http", &reference]).ok();
    document(ctr, &manifest_digest(ctr))["config"]["digest"].as_str().expect("a digest").to_owned()
}

/// The chain ID of an image of one layer: its diff ID.
fn chain_id(ctr: &Ctr) -> String {
    let config = document(ctr, &config_digest(ctr));
    config["rootfs"]["diff_ids"][0].as_str().expect("a diff ID").to_owned()
}
