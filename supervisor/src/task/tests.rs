//! Tasks through their life, as the manager keeps them.

use std::time::Duration;

use super::*;
use crate::event::Exchange;
use crate::fault::Fault;
use crate::namespace::Namespace;

fn manager(state: &std::path::Path) -> (Manager, Namespace) {
    let manager = Manager::new(
        state,
        Launcher {
            address: "/run/none.sock".into(),
            ttrpc_address: "/run/none.sock.ttrpc".into(),
            installed: state.join("opt"),
        },
        Exchange::default(),
    );
    (manager, "default".parse().expect("a name"))
}

fn new(id: &str, runtime: &str) -> NewTask {
    NewTask { id: id.to_owned(), spec: b"{}".to_vec(), runtime: runtime.to_owned(), ..NewTask::default() }
}

#[tokio::test]
async fn a_create_that_fails_leaves_nothing_and_can_be_retried() {
    let state = tempfile::tempdir().expect("folder");
    let (manager, namespace) = manager(state.path());
    for runtime in ["io.containerd.missing.v2", "/bin/false"] {
        for _ in 0..2 {
            let error = manager.create(&namespace, new("a", runtime)).await.expect_err("no shim");
            assert!(matches!(error, TaskError::Start(_)), "{error:?}");
        }
    }
    assert!(manager.get(&namespace, "a").is_err());
    let folder = manager.bundle(&(namespace, "a".to_owned())).path().parent().expect("a parent").to_owned();
    while std::fs::read_dir(&folder).expect("list").count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_id_on_its_way_out_is_waited_for_and_one_in_use_is_not() {
    let state = tempfile::tempdir().expect("folder");
    let (manager, namespace) = manager(state.path());
    let key = (namespace.clone(), "a".to_owned());
    assert!(manager.slots().reserve(&key).await);
    let error = manager.create(&namespace, new("a", "/bin/false")).await.expect_err("in use");
    assert_eq!(error.kind(), dhow_proto::error::Kind::AlreadyExists);

    drop(manager.leave(&key));
    let retried = tokio::spawn({
        let manager = manager.clone();
        async move { manager.create(&namespace, new("a", "/bin/false")).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!retried.is_finished());
    manager.free(&key);
    let error = retried.await.expect("join").expect_err("no shim");
    assert!(matches!(error, TaskError::Start(_)), "{error:?}");
}

#[tokio::test]
async fn a_bundle_without_a_shim_is_cleaned_up_at_the_start() {
    let state = tempfile::tempdir().expect("folder");
    let (manager, namespace) = manager(state.path());
    let bundle = manager.bundle(&(namespace.clone(), "a".to_owned()));
    std::fs::create_dir_all(bundle.file("rootfs")).expect("bundle");
    std::fs::write(bundle.file("shim-binary-path"), "/bin/false").expect("write");
    let record =
        r#"{"version":1,"id":"a","exec_id":"","pid":7,"status":3,"exited_at":"2026-01-01T00:00:00Z"}"#;
    std::fs::write(bundle.file("exit.json"), record).expect("write");
    let mut events = manager.events().subscribe(&[]).expect("no filter");
    manager.recovery().run().await;
    assert!(manager.get(&namespace, "a").is_err());
    assert!(!bundle.path().exists());
    let exit = events.next().await.expect("an exit");
    assert_eq!(exit.topic, "/tasks/exit");
    let exit =
        dhow_proto::any::unpack::<dhow_proto::containerd::events::TaskExit>(&exit.event.expect("payload"));
    assert_eq!(exit.expect("an exit").expect("valid").exit_status, 3);
    assert_eq!(events.next().await.expect("a delete").topic, "/tasks/delete");
}

#[test]
fn invalid_ids_never_become_paths() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let state = tempfile::tempdir().expect("folder");
    let (manager, namespace) = manager(state.path());
    let error = runtime.block_on(manager.create(&namespace, new("../x", "/bin/false"))).expect_err("invalid");
    assert!(matches!(error, TaskError::Id(_)));
}
