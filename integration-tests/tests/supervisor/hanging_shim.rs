//! Shims that hang, and clients that lose patience: the id is free again, and nothing is left.

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_integration_tests::bundle::spec;
use dhow_integration_tests::client::{Client, Stdio, block_on};
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_integration_tests::{binaries, busybox};
use dhow_proto::any;
use dhow_proto::containerd::services::sandbox::v1::controller_client::ControllerClient;
use dhow_proto::containerd::services::sandbox::v1::{ControllerCreateRequest, ControllerShutdownRequest};
use dhow_proto::containerd::services::tasks::v1::KillRequest;
use dhow_proto::containerd::types::{Sandbox, sandbox::Runtime};

/// Each way to hang: never starting, starting without ever saying so, and listening without ever answering.
const WAYS: [&str; 3] = ["silent", "untold", "stopped"];
/// Longer than a retry takes on a busy machine, and much shorter than a `delete` may hang.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Our shim behind a script that makes it hang in the way that the file `way` says, and then makes the file `hangs`.
/// While there is a file `stuck`, `delete` hangs as well, and makes the file `deletes`.
struct Moody {
    folder: PathBuf,
}

impl Moody {
    fn new(supervisor: &Supervisor) -> Self {
        let moody = Self { folder: supervisor.host().folder("moody") };
        let script = format!(
            r#"#!/bin/sh
shim={shim}
case "$*" in
*start) way=$(cat {folder}/way) ;;
*delete) [ -e {folder}/stuck ] && way=stuck || way=fine ;;
*) way=fine ;;
esac
case $way in
fine) exec $shim "$@" ;;
untold) $shim "$@" > /dev/null ;;
stopped)
    $shim "$@"
    for process in /proc/[0-9]*; do
        if [ "$(readlink $process/exe)" = "$(readlink -f $shim)" ] && grep -q {host} $process/cmdline; then
            kill -STOP ${{process#/proc/}}
        fi
    done
    touch {folder}/hangs
    exit ;;
stuck)
    touch {folder}/deletes
    sleep 1000 &
    wait ;;
esac
touch {folder}/hangs
sleep 1000 &
wait
"#,
            shim = binaries::path("containerd-shim-dhow-v2").display(),
            folder = moody.folder.display(),
            host = supervisor.host().name(),
        );
        fs::write(moody.shim(), script).expect("write the script");
        fs::set_permissions(moody.shim(), fs::Permissions::from_mode(0o755)).expect("chmod");
        moody
    }

    fn shim(&self) -> PathBuf {
        self.folder.join("shim")
    }

    fn name(&self) -> String {
        self.shim().display().to_string()
    }

    /// Gives `create` up as soon as the shim hangs; the next one does not.
    async fn give_up<T>(&self, way: &str, create: impl Future<Output = T>) {
        self.set(way);
        tokio::select! {
            _ = create => panic!("{way}: the shim hangs, and create ended"),
            () = self.seen("hangs") => {}
        }
        self.set("fine");
    }

    /// The way of the next `start`.
    fn set(&self, way: &str) {
        fs::write(self.folder.join("way"), way).expect("write");
    }

    /// From now on `delete` hangs, or does not any more.
    fn stick(&self, stuck: bool) {
        let path = self.folder.join("stuck");
        if stuck {
            fs::write(path, "").expect("write");
        } else {
            drop(fs::remove_file(path));
        }
    }

    /// Waits until the script has made a file, and removes it.
    async fn seen(&self, file: &str) {
        while fs::remove_file(self.folder.join(file)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A container whose tasks run behind a [`Moody`] shim.
struct Container<'a> {
    moody: &'a Moody,
    rootfs: PathBuf,
    spec: serde_json::Value,
}

impl<'a> Container<'a> {
    fn new(supervisor: &Supervisor, moody: &'a Moody) -> Self {
        let rootfs = supervisor.host().path("rootfs");
        busybox::tree(&rootfs);
        let spec = spec(&format!("{}/moody", supervisor.host().cgroup()), "exec sleep 1000");
        Self { moody, rootfs, spec }
    }

    async fn record(&self, client: &Client) {
        client.create_container_for(&self.moody.name(), "moody", &self.spec).await;
    }

    async fn create(&self, client: &Client) -> Result<u32, tonic::Status> {
        client.create_task("moody", &self.rootfs, &Stdio::default()).await
    }

    /// Lives a life, at once; then nothing is left.
    async fn live(&self, client: &Client, supervisor: &Supervisor, what: &str) {
        let created = tokio::time::timeout(AT_ONCE, self.create(client)).await;
        let created = created.unwrap_or_else(|_| panic!("{what}: the retry waits"));
        created.unwrap_or_else(|error| panic!("{what}: {error}"));
        client.start("moody").await;
        let id = "moody".to_owned();
        let request = KillRequest { container_id: id, signal: 9, ..KillRequest::default() };
        client.tasks().kill(client.request(request)).await.expect("kill");
        assert_eq!(client.wait("moody").await.exit_status, 137, "{what}");
        client.delete("moody").await;
        nothing_is_left(supervisor, "io.containerd.runtime.v2.task");
    }
}

/// Nothing that a shim leaves behind is there: no process, no bundle, no socket.
fn nothing_is_left(supervisor: &Supervisor, plugin: &str) {
    let name = supervisor.host().name();
    let own = supervisor.pid().expect("it runs").to_string();
    eventually("no process is left", || {
        let entries = fs::read_dir("/proc").expect("list /proc").flatten();
        let mut others = entries.filter(|entry| {
            let pid = entry.file_name().to_string_lossy().into_owned();
            let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            pid != own
                && (cwd.to_string_lossy().contains(name) || String::from_utf8_lossy(&command).contains(name))
        });
        others.next().is_none()
    });
    let bundles = supervisor.host().path(format!("state/{plugin}/tests"));
    let sockets = supervisor.host().path("s");
    // A delete answers before the bundle is gone; the id is kept from others until then.
    eventually("no bundle is left", || entries(&bundles).is_empty());
    eventually("no socket is left", || entries(&sockets).is_empty());
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[test]
fn a_create_given_up_on_a_hanging_shim_can_be_retried_at_once() {
    let supervisor = Supervisor::start();
    let moody = Moody::new(&supervisor);
    let container = Container::new(&supervisor, &moody);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        for way in WAYS {
            container.record(&client).await;
            moody.give_up(way, container.create(&client)).await;
            assert!(!client.has_task("moody").await, "{way}");
            container.live(&client, &supervisor, way).await;
        }
    });
}

#[test]
fn nor_does_a_delete_that_hangs_as_well_hold_the_retry() {
    let supervisor = Supervisor::start();
    let moody = Moody::new(&supervisor);
    let container = Container::new(&supervisor, &moody);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        container.record(&client).await;
        moody.stick(true);
        moody.give_up("stopped", container.create(&client)).await;
        container.live(&client, &supervisor, "stuck").await;
        moody.seen("deletes").await;
    });
}

#[test]
fn what_a_killed_supervisor_was_creating_can_be_created_at_once() {
    let mut supervisor = Supervisor::start();
    let moody = Moody::new(&supervisor);
    let container = Container::new(&supervisor, &moody);
    for way in WAYS {
        block_on(async {
            let client = Client::connect(&supervisor.socket()).await;
            container.record(&client).await;
            moody.set(way);
            tokio::select! {
                answer = container.create(&client) => panic!("{way}: the shim hangs, and create ended: {answer:?}"),
                () = moody.seen("hangs") => supervisor.kill(),
            }
            moody.set("fine");
        });
        restart_and_live(&mut supervisor, &container, way);
    }
}

#[test]
fn nor_is_what_it_was_undoing_in_the_way() {
    let mut supervisor = Supervisor::start();
    let moody = Moody::new(&supervisor);
    let container = Container::new(&supervisor, &moody);
    for way in ["untold", "stopped"] {
        moody.stick(true);
        block_on(async {
            let client = Client::connect(&supervisor.socket()).await;
            container.record(&client).await;
            moody.give_up(way, container.create(&client)).await;
            moody.seen("deletes").await;
        });
        restart_and_live(&mut supervisor, &container, way);
        moody.stick(false);
    }
}

/// The supervisor is killed, and the next one finds nothing in its way.
fn restart_and_live(supervisor: &mut Supervisor, container: &Container<'_>, what: &str) {
    supervisor.kill();
    supervisor.launch();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        container.live(&client, supervisor, what).await;
    });
}

#[test]
fn a_sandbox_given_up_on_a_hanging_shim_can_be_retried_at_once() {
    let supervisor = Supervisor::start();
    let moody = Moody::new(&supervisor);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let spec = spec(&format!("{}/pod", supervisor.host().cgroup()), "exec sleep 1000");
        let create = || {
            let (id, sandboxer) = ("pod".to_owned(), "shim".to_owned());
            let sandbox = Sandbox {
                sandbox_id: id.clone(),
                runtime: Some(Runtime { name: moody.name(), options: None }),
                sandboxer: sandboxer.clone(),
                spec: Some(any::pack_json(any::SPEC_URL, spec.to_string().into_bytes())),
                ..Sandbox::default()
            };
            let request = ControllerCreateRequest {
                sandbox_id: id,
                sandbox: Some(sandbox),
                sandboxer,
                ..ControllerCreateRequest::default()
            };
            let request = client.request(request);
            let mut controller = ControllerClient::new(client.channel());
            async move { controller.create(request).await }
        };
        for (way, stuck) in WAYS.map(|way| (way, false)).into_iter().chain([("stopped", true)]) {
            moody.stick(stuck);
            moody.give_up(way, create()).await;
            let retried = tokio::time::timeout(AT_ONCE, create()).await.expect("the retry does not wait");
            retried.unwrap_or_else(|error| panic!("{way}: {error}"));
            moody.stick(false);
            let request =
                ControllerShutdownRequest { sandbox_id: "pod".to_owned(), sandboxer: "shim".to_owned() };
            ControllerClient::new(client.channel())
                .shutdown(client.request(request))
                .await
                .expect("shutdown");
            nothing_is_left(&supervisor, "io.containerd.sandbox.controller.v1.shim");
        }
    });
}
