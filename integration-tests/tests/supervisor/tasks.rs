//! Tasks: codes of refusals, retries after failures, order of events.

use dhow_integration_tests::bundle::spec;
use dhow_integration_tests::busybox;
use dhow_integration_tests::client::{Client, Stdio, block_on};
use dhow_integration_tests::process::eventually;
use dhow_integration_tests::stack::processes;
use dhow_integration_tests::supervisor::Supervisor;
use dhow_proto::containerd::services::events::v1::SubscribeRequest;
use dhow_proto::containerd::services::events::v1::events_client::EventsClient;
use dhow_proto::containerd::services::tasks::v1::{DeleteTaskRequest, GetRequest, KillRequest, WaitRequest};
use serde_json::json;
use tonic::Code;

#[test]
fn a_missing_task_is_not_found() {
    let supervisor = Supervisor::start();
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let get = GetRequest { container_id: "ghost".to_owned(), ..GetRequest::default() };
        assert_eq!(
            client.tasks().get(client.request(get)).await.expect_err("no task").code(),
            Code::NotFound
        );
        let kill = KillRequest { container_id: "ghost".to_owned(), signal: 9, ..KillRequest::default() };
        assert_eq!(
            client.tasks().kill(client.request(kill)).await.expect_err("no task").code(),
            Code::NotFound
        );
        let unnamed = client.tasks().get(tonic::Request::new(GetRequest::default())).await;
        assert_eq!(unnamed.expect_err("no namespace").code(), Code::FailedPrecondition);
    });
}

#[test]
fn a_create_that_failed_can_be_retried_at_once() {
    let supervisor = Supervisor::start();
    let rootfs = supervisor.host().path("rootfs");
    busybox::tree(&rootfs);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let mut spec = spec(&format!("{}/retry", supervisor.host().cgroup()), "exit 5");
        spec["process"]["args"] = json!(["/no/such/program"]);
        client.create_container("retry", &spec).await;
        for _ in 0..2 {
            let refused = client.create_task("retry", &rootfs, &Stdio::default()).await;
            let refused = match refused {
                Err(status) => status,
                Ok(_) => {
                    let start = dhow_proto::containerd::services::tasks::v1::StartRequest {
                        container_id: "retry".to_owned(),
                        ..Default::default()
                    };
                    let refused =
                        client.tasks().start(client.request(start)).await.expect_err("no such program");
                    let delete = dhow_proto::containerd::services::tasks::v1::DeleteTaskRequest {
                        container_id: "retry".to_owned(),
                    };
                    client.tasks().delete(client.request(delete)).await.expect("delete what did not start");
                    refused
                }
            };
            assert!(refused.message().contains("/no/such/program"), "{refused:?}");
            assert!(!client.has_task("retry").await, "nothing is left");
        }
    });
}

#[test]
fn a_create_that_was_given_up_can_be_retried_at_once() {
    let supervisor = Supervisor::start();
    let rootfs = supervisor.host().path("rootfs");
    busybox::tree(&rootfs);
    let first = supervisor.host().path("first");
    // The first of its kind hangs; it would for ever.
    let script = format!("rm {} && exec sleep 1000; exit 0", first.display());
    let mut spec = spec(&format!("{}/given-up", supervisor.host().cgroup()), "exec sleep 1000");
    spec["hooks"]["createRuntime"] = json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}]);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        client.create_container("given-up", &spec).await;
        for _ in 0..2 {
            std::fs::write(&first, "").expect("write");
            let stdio = Stdio::default();
            let create = client.create_task("given-up", &rootfs, &stdio);
            let given_up = tokio::time::timeout(std::time::Duration::from_millis(300), create).await;
            given_up.expect_err("the hook hangs");
            assert!(!client.has_task("given-up").await);
            client.create_task("given-up", &rootfs, &Stdio::default()).await.expect("retry");
            client.start("given-up").await;
            let request =
                KillRequest { container_id: "given-up".to_owned(), signal: 9, ..KillRequest::default() };
            client.tasks().kill(client.request(request)).await.expect("kill");
            assert_eq!(client.wait("given-up").await.exit_status, 137);
            let request = DeleteTaskRequest { container_id: "given-up".to_owned() };
            client.tasks().delete(client.request(request)).await.expect("delete");
        }
    });
    eventually("the hanging hooks are gone too", || {
        let name = supervisor.host().name();
        !processes("sleep").iter().any(|(pid, _)| {
            std::fs::read_link(format!("/proc/{pid}/cwd"))
                .is_ok_and(|folder| folder.to_string_lossy().contains(name))
        })
    });
}

#[test]
fn who_waits_is_told_when_the_shim_is_killed_and_the_id_is_free() {
    let supervisor = Supervisor::start();
    let rootfs = supervisor.host().path("rootfs");
    busybox::tree(&rootfs);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let spec = spec(&format!("{}/orphan", supervisor.host().cgroup()), "exec sleep 1000");
        client.create_container("orphan", &spec).await;
        for _ in 0..2 {
            client.create_task("orphan", &rootfs, &Stdio::default()).await.expect("create");
            client.start("orphan").await;
            let (mut tasks, id) = (client.tasks(), "orphan".to_owned());
            let wait = client.request(WaitRequest { container_id: id, ..WaitRequest::default() });
            let waiting = tokio::spawn(async move { tasks.wait(wait).await });
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let host = supervisor.host().name();
            let shims = processes("containerd-shim-dhow-v2");
            let shim = shims.into_iter().find(|(_, command)| command.contains(host)).expect("a shim runs");
            nix::sys::signal::kill(shim.0, nix::sys::signal::Signal::SIGKILL).expect("kill the shim");
            match waiting.await.expect("no panic") {
                Ok(answer) => assert_eq!(answer.into_inner().exit_status, 137),
                // It came late, when all was cleaned up already.
                Err(status) => assert_eq!(status.code(), Code::NotFound, "{status}"),
            }
        }
    });
}

#[test]
fn events_come_in_the_order_of_a_life() {
    let supervisor = Supervisor::start();
    let rootfs = supervisor.host().path("rootfs");
    busybox::tree(&rootfs);
    block_on(async {
        let client = Client::connect(&supervisor.socket()).await;
        let request = SubscribeRequest { filters: vec!["topic~=^/tasks/".to_owned()] };
        let mut events = EventsClient::new(client.channel())
            .subscribe(client.request(request))
            .await
            .expect("subscribe")
            .into_inner();
        client
            .create_container("life", &spec(&format!("{}/life", supervisor.host().cgroup()), "exit 3"))
            .await;
        client.create_task("life", &rootfs, &Stdio::default()).await.expect("create");
        client.start("life").await;
        assert_eq!(client.wait("life").await.exit_status, 3);
        assert_eq!(client.delete("life").await.exit_status, 3);
        let mut topics = Vec::new();
        while topics.last().is_none_or(|topic| topic != "/tasks/delete") {
            let event = events.message().await.expect("an event").expect("the stream goes on");
            assert_eq!(event.namespace, dhow_integration_tests::client::NAMESPACE);
            topics.push(event.topic);
        }
        assert_eq!(topics, ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    });
}
