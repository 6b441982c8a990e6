//! The shapes that clients index into without asking: which keys are there, and which JSON type they have.

use serde_json::{Value, json};

use super::{ContainerInspect, ContainerSummary, StatsResponse};

/// `value` with every leaf replaced by the name of its JSON type.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("object").keys().map(String::as_str).collect()
}

#[test]
fn an_empty_inspect_has_every_key_that_clients_index() {
    let inspect = serde_json::to_value(ContainerInspect::default()).expect("json");
    assert_eq!(
        shape(&inspect["State"]),
        json!({
            "Status": "string", "Running": "bool", "Paused": "bool", "Restarting": "bool", "OOMKilled": "bool",
            "Dead": "bool", "Pid": "number", "ExitCode": "number", "Error": "string", "StartedAt": "string",
            "FinishedAt": "string",
        })
    );
    for key in [
        "Id",
        "Created",
        "Path",
        "Args",
        "Image",
        "ResolvConfPath",
        "HostnamePath",
        "HostsPath",
        "LogPath",
        "Name",
        "RestartCount",
        "Driver",
        "Platform",
        "MountLabel",
        "ProcessLabel",
        "AppArmorProfile",
        "ExecIDs",
        "HostConfig",
        "GraphDriver",
        "Mounts",
        "Config",
        "NetworkSettings",
    ] {
        assert!(inspect.get(key).is_some(), "{key}");
    }
    assert_eq!(inspect["ExecIDs"], Value::Null);
    assert_eq!(inspect["Args"], json!([]));
    assert_eq!(inspect["Config"]["OnBuild"], Value::Null);
}

#[test]
fn an_empty_host_config_has_every_limit() {
    let host = &serde_json::to_value(ContainerInspect::default()).expect("json")["HostConfig"];
    for (key, kind) in [
        ("Binds", "null"),
        ("ContainerIDFile", "string"),
        ("NetworkMode", "string"),
        ("PortBindings", "null"),
        ("AutoRemove", "bool"),
        ("CapAdd", "null"),
        ("CgroupnsMode", "string"),
        ("Dns", "null"),
        ("DnsOptions", "null"),
        ("IpcMode", "string"),
        ("Cgroup", "string"),
        ("UTSMode", "string"),
        ("ShmSize", "number"),
        ("CpuShares", "number"),
        ("NanoCpus", "number"),
        ("BlkioDeviceReadBps", "null"),
        ("BlkioDeviceWriteIOps", "null"),
        ("CpuRealtimePeriod", "number"),
        ("CpusetCpus", "string"),
        ("KernelMemoryTCP", "number"),
        ("MemorySwappiness", "null"),
        ("OomKillDisable", "null"),
        ("PidsLimit", "null"),
        ("IOMaximumIOps", "number"),
        ("IOMaximumBandwidth", "number"),
        ("MaskedPaths", "null"),
    ] {
        assert_eq!(shape(&host[key]), json!(kind), "{key}");
        assert!(host.get(key).is_some(), "{key}");
    }
    assert_eq!(host["ConsoleSize"], json!([0, 0]));
    assert_eq!(host["LogConfig"], json!({"Type": "", "Config": null}));
    assert!(host.get("Annotations").is_none() && host.get("Mounts").is_none() && host.get("Init").is_none());
}

#[test]
fn a_list_entry_has_lists_and_maps_and_no_null() {
    let entry = serde_json::to_value(ContainerSummary::default()).expect("json");
    assert_eq!(
        shape(&entry),
        json!({
            "Id": "string", "Names": [], "Image": "string", "ImageID": "string", "Command": "string",
            "Created": "number", "Ports": [], "Labels": {}, "State": "string", "Status": "string", "HostConfig": {},
            "NetworkSettings": {"Networks": {}}, "Mounts": [],
        })
    );
}

#[test]
fn stats_of_a_stopped_container_have_their_parts() {
    let stats = serde_json::to_value(StatsResponse::default()).expect("json");
    let mut found = keys(&stats);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "blkio_stats",
            "cpu_stats",
            "memory_stats",
            "num_procs",
            "pids_stats",
            "precpu_stats",
            "preread",
            "read",
            "storage_stats"
        ]
    );
}
