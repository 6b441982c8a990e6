//! Who hears what, and in which order.

use dhow_proto::containerd::events::{TaskExit, TaskStart};

use super::*;

fn exit(container: &str) -> TaskExit {
    TaskExit { container_id: container.to_owned(), id: container.to_owned(), ..TaskExit::default() }
}

#[tokio::test]
async fn every_subscriber_sees_what_it_asked_for() {
    let exchange = Exchange::default();
    let mut all = exchange.subscribe(&[]).expect("no filter");
    let filters = ["namespace==moby,topic~=|^/tasks/|".to_owned()];
    let mut tasks = exchange.subscribe(&filters).expect("docker's filter");
    let mut one = exchange.subscribe(&["event.container_id==b".to_owned()]).expect("filter on a payload");

    exchange.publish("default", "/tasks/exit", &exit("a"));
    exchange.publish("moby", "/images/create", &exit("a"));
    exchange.publish("moby", "/tasks/start", &TaskStart { container_id: "b".to_owned(), pid: 1 });

    assert_eq!(all.next().await.expect("first").namespace, "default");
    assert_eq!(all.next().await.expect("second").topic, "/images/create");
    assert_eq!(all.next().await.expect("third").topic, "/tasks/start");
    assert_eq!(tasks.next().await.expect("only").topic, "/tasks/start");
    assert_eq!(one.next().await.expect("only").topic, "/tasks/start");
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_cut_off() {
    let exchange = Exchange::default();
    let mut slow = exchange.subscribe(&[]).expect("no filter");
    for _ in 0..=QUEUE_LIMIT {
        exchange.publish("default", "/tasks/exit", &exit("a"));
    }
    for _ in 0..QUEUE_LIMIT {
        assert!(slow.next().await.is_some());
    }
    assert!(slow.next().await.is_none(), "it must learn of its loss");
}

#[test]
fn foreign_envelopes_are_checked() {
    let good = Envelope {
        timestamp: Some(prost_types::Timestamp::default()),
        namespace: "moby".to_owned(),
        topic: "/tasks/exec-added".to_owned(),
        event: None,
    };
    assert!(validate(&good).is_ok());
    for topic in ["", "/", "tasks", "/tasks//exit", "/tasks/ex it", "/-a"] {
        assert!(validate(&Envelope { topic: topic.to_owned(), ..good.clone() }).is_err(), "{topic:?}");
    }
    let words = |topic| dhow_proto::error::chain(&validate_topic(topic).expect_err("no topic"));
    assert_eq!(words(""), "envelope topic \"\": must not be empty");
    assert_eq!(words("tasks"), "envelope topic \"tasks\": must start with '/'");
    assert_eq!(words("/"), "envelope topic \"/\": must have at least one component");
    assert!(words("/a b").starts_with("envelope topic \"/a b\": failed validation on component \"a b\": "));
    assert!(validate(&Envelope { namespace: String::new(), ..good.clone() }).is_err());
    assert!(validate(&Envelope { timestamp: None, ..good }).is_err());
}

#[tokio::test]
async fn a_subscriber_that_comes_back_after_a_restart_hears_of_ends() {
    let exchange = Exchange::default();
    exchange.publish("moby", "/tasks/exit", &exit("a"));
    exchange.publish("moby", "/images/create", &exit("a"));
    exchange.publish("default", "/tasks/exit", &exit("b"));
    let mut returned = exchange.subscribe(&["namespace==moby".to_owned()]).expect("a filter");
    exchange.publish("moby", "/tasks/start", &TaskStart { container_id: "c".to_owned(), pid: 1 });
    assert_eq!(returned.next().await.expect("kept").topic, "/tasks/exit");
    assert_eq!(returned.next().await.expect("live").topic, "/tasks/start");
}
