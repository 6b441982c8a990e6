//! Shims that hang, and clients that lose patience: the id is free again, and nothing is left.

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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

/// Our shim behind a script that makes it hang in the way that the file `way` says, and then makes the file `hangs`.
struct Moody {
    folder: PathBuf,
}

impl Moody {
    fn new(supervisor: &Supervisor) -> Self {
        let moody = Self { folder: supervisor.host().folder("moody") };
        let script = format!(
            r#"#!/bin/sh
shim={shim}
case "$*" in *start) way=$(cat {folder}/way) ;; *) way=fine ;; esac
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
        fs::write(self.folder.join("way"), way).expect("write");
        let hangs = self.folder.join("hangs");
        let hanging = async {
            while fs::remove_file(&hangs).is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = create => panic!("{way}: the shim hangs, and create ended"),
            () = hanging => {}
        }
        fs::write(self.folder.join("way"), "fine").expect("write");
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
    let rootfs = supervisor.host().path("rootfs");
    busybox::tree(&rootfs);
    let moody = Moody::new(&supervisor);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let spec = spec(&format!("{}/moody", supervisor.host().cgroup()), "exec sleep 1000");
        client.create_container_for(&moody.name(), "moody", &spec).await;
        for way in WAYS {
            moody.give_up(way, client.create_task("moody", &rootfs, &Stdio::default())).await;
            assert!(!client.has_task("moody").await, "{way}");
            let retried = client.create_task("moody", &rootfs, &Stdio::default()).await;
            retried.unwrap_or_else(|error| panic!("{way}: {error}"));
            client.start("moody").await;
            let id = "moody".to_owned();
            let request = KillRequest { container_id: id, signal: 9, ..KillRequest::default() };
            client.tasks().kill(client.request(request)).await.expect("kill");
            assert_eq!(client.wait("moody").await.exit_status, 137, "{way}");
            client.delete("moody").await;
            nothing_is_left(&supervisor, "io.containerd.runtime.v2.task");
            client.create_container_for(&moody.name(), "moody", &spec).await;
        }
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
        for way in WAYS {
            moody.give_up(way, create()).await;
            create().await.unwrap_or_else(|error| panic!("{way}: {error}"));
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
