//! Documents as clients really send them.

use serde_json::json;

use super::{from_slice, from_value};
use crate::container::{CreateRequest, HostConfig, UpdateConfig};

#[test]
fn keys_of_structs_match_in_any_case_and_keys_of_maps_keep_theirs() {
    let request: CreateRequest = from_value(json!({
        "image": "busybox", "openSTDIN": true, "labels": {"A": "b", "a": "c"},
        "hostconfig": {"memory": 5, "PORTBINDINGS": {"80/tcp": [{"hostport": "8080"}]}},
        "NetworkingConfig": {"endpointsconfig": {"Net": {"ipamconfig": {"ipv4address": "10.0.0.2"}}}},
    }))
    .expect("document");
    assert_eq!(request.config.image, "busybox");
    assert!(request.config.open_stdin);
    assert_eq!(request.config.labels.as_ref().map(|labels| labels.len()), Some(2));
    let host = request.host_config.expect("host config");
    assert_eq!(host.resources.memory, 5);
    assert_eq!(host.port_bindings.expect("ports")["80/tcp"].as_ref().expect("list")[0].host_port, "8080");
    let endpoints = request.networking_config.expect("networking").endpoints_config.expect("endpoints");
    let ipam = endpoints["Net"].as_ref().and_then(|endpoint| endpoint.ipam_config.as_ref()).expect("ipam");
    assert_eq!(ipam.ipv4_address, "10.0.0.2");
}

#[test]
fn the_exact_spelling_wins_over_another_one() {
    let host: HostConfig = from_value(json!({"binds": ["a:/a"], "Binds": ["b:/b"]})).expect("document");
    assert_eq!(host.binds, Some(vec!["b:/b".to_owned()]));
}

#[test]
fn null_is_the_zero_value_everywhere() {
    let request: CreateRequest = from_value(json!({
        "Hostname": null, "Tty": null, "Env": null, "Cmd": ["a", null], "ExposedPorts": null, "StopTimeout": null,
        "HostConfig": {"Memory": null, "RestartPolicy": null, "ConsoleSize": null, "LogConfig": {"Config": null}},
    }))
    .expect("document");
    assert_eq!(request.config.env, None);
    assert_eq!(request.config.cmd, Some(vec!["a".to_owned(), String::new()]));
    assert_eq!(request.host_config.expect("host config").console_size, [0, 0]);
    assert!(from_slice::<CreateRequest>(b"null").is_ok());
}

#[test]
fn a_command_may_be_one_string() {
    let request: CreateRequest = from_value(json!({"Cmd": "a b", "Entrypoint": []})).expect("document");
    assert_eq!(request.config.cmd, Some(vec!["a b".to_owned()]));
    assert_eq!(request.config.entrypoint, Some(vec![]));
}

#[test]
fn what_go_refuses_is_refused() {
    assert!(from_slice::<CreateRequest>(b"{\"Image\": 5}").is_err(), "a number is no string");
    assert!(from_slice::<CreateRequest>(b"{\"Image\": \"a\"").is_err(), "unfinished");
    assert!(from_slice::<CreateRequest>(b"{} {}").is_err(), "something follows");
    assert!(from_slice::<UpdateConfig>(b"{\"Memory\": \"5\"}").is_err(), "also in the embedded part");
}

#[test]
fn an_embedded_struct_lies_in_the_same_object() {
    let mut host = HostConfig::default();
    host.resources.memory = 7;
    let value = serde_json::to_value(&host).expect("json");
    assert_eq!(value["Memory"], 7);
    assert_eq!(from_value::<HostConfig>(value).expect("document"), host);
}
