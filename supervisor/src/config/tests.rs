//! Configurations as they are found in the field.

use std::path::Path;

use super::*;

fn read(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).expect("write");
    load(&path)
}

#[test]
fn known_keys_are_taken_and_unknown_ones_named_once() {
    let config = read(
        r#"
            version = 2
            root = "/r"
            oom_score = -999
            required_plugins = ["io.containerd.grpc.v1.tasks"]
            [grpc]
              address = "/a.sock"
              uid = 0
              gid = 7
              tcp_address = ""
              max_recv_message_size = 16777216
              max_send_message_size = 1024
            [ttrpc]
              address = ""
            [debug]
              level = "debug"
              format = "json"
            [metrics]
              address = "127.0.0.1:1338"
            [plugins."io.containerd.internal.v1.opt"]
              path = "/opt/x"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "x"
              [plugins."io.containerd.grpc.v1.cri".containerd]
                snapshotter = "overlayfs"
        "#,
    )
    .expect("parse");
    assert_eq!(config.root, Some("/r".into()));
    assert_eq!(config.state, None);
    let socket = Socket { address: Some("/a.sock".into()), uid: Some(0), gid: Some(7) };
    assert_eq!((config.grpc, config.ttrpc), (socket, Socket::default()));
    assert_eq!((config.log_level, config.log_format), (Some(Level::Debug), Format::Json));
    assert_eq!((config.oom_score, config.opt), (Some(-999), Some("/opt/x".into())));
    assert_eq!(config.required_plugins, ["io.containerd.grpc.v1.tasks"]);
    assert_eq!(
        config.unknown,
        ["grpc.max_send_message_size", "metrics.address", "plugins.\"io.containerd.grpc.v1.cri\""]
    );
}

#[test]
fn every_version_is_read() {
    let one = read("[plugins.opt]\npath = \"/v1\"\n[plugins.cri]\nx = 1").expect("version 1");
    assert_eq!(one.opt, Some("/v1".into()));
    assert_eq!(one.unknown, ["plugins.\"io.containerd.grpc.v1.cri\""]);
    let four = "version = 4\n[plugins.'io.containerd.server.v1.grpc']\naddress = '/v4.sock'";
    assert_eq!(read(four).expect("version 4").grpc.address, Some("/v4.sock".into()));
}

#[test]
fn imports_win_over_the_file_and_may_be_patterns() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("write");
    write(
        "config.toml",
        "version = 2\nroot = '/main'\ndisabled_plugins = ['a']\nimports = ['*.part', 'config.toml']",
    );
    write("1.part", "version = 2\nroot = '/one'\nstate = '/state'\ndisabled_plugins = ['b', 'a']");
    write("2.part", "version = 2\nroot = '/two'");
    let config = load(&folder.path().join("config.toml")).expect("imports");
    assert_eq!((config.root, config.state), (Some("/two".into()), Some("/state".into())));
    assert_eq!(config.disabled_plugins, ["a", "b"]);
    assert!(config.unknown.is_empty(), "{:?}", config.unknown);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let wrong = [
        "root = 1",
        "version = 9",
        "[debug]\nlevel = \"loud\"",
        "[debug]\nformat = \"xml\"",
        "oom_score = 2000",
        "[grpc]\nuid = -1",
        "imports = 'x'",
        "root =",
    ];
    for text in wrong {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn defaults_are_written_and_read_again() {
    let defaults = Document::defaults(Path::new("/r"), Path::new("/s"), Path::new("/a.sock"));
    let text = defaults.text().expect("text");
    let config = read(&text).expect("our own defaults");
    assert_eq!((config.root, config.grpc.address), (Some("/r".into()), Some("/a.sock".into())));
    assert_eq!(config.ttrpc.address, Some("/a.sock.ttrpc".into()));
    assert!(config.unknown.is_empty(), "{:?}", config.unknown);
}

#[test]
fn an_old_file_is_moved_to_the_newest_version() {
    let old = toml::from_str("disabled_plugins = ['cri']\n[plugins.opt]\npath = '/p'").expect("TOML");
    let text = migrate(Document(old)).text().expect("text");
    assert!(text.contains("version = 3"), "{text}");
    assert!(text.contains("[plugins.\"io.containerd.internal.v1.opt\"]"), "{text}");
    assert!(text.contains("\"io.containerd.grpc.v1.cri\""), "{text}");
}
