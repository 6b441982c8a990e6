//! The shim below our supervisor: where streams go, what survives, what a task may ask.

mod bootstrap;
mod methods;
mod options;
mod sandbox;
mod stdio;

use dhow_integration_tests::bundle::spec;
use dhow_integration_tests::busybox;
use dhow_integration_tests::client::{Client, Stdio};
use dhow_integration_tests::supervisor::Supervisor;

/// Runs `script` with these streams to its end, and gives its exit status.
async fn run(supervisor: &Supervisor, client: &Client, id: &str, script: &str, stdio: &Stdio) -> u32 {
    create(supervisor, client, id, script, stdio).await;
    client.start(id).await;
    let exit = client.wait(id).await;
    client.delete(id).await;
    exit.exit_status
}

/// Creates the container and its task, not yet started.
async fn create(supervisor: &Supervisor, client: &Client, id: &str, script: &str, stdio: &Stdio) {
    let rootfs = supervisor.host().path(format!("rootfs-{id}"));
    busybox::tree(&rootfs);
    let mut spec = spec(&format!("{}/{id}", supervisor.host().cgroup()), script);
    spec["process"]["terminal"] = stdio.terminal.into();
    client.create_container(id, &spec).await;
    client.create_task(id, &rootfs, stdio).await.expect("create the task");
}
