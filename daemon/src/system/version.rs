//! `GET /version`.

use dhow_engine_api::system::{Component, Platform, Version};
use dhow_engine_api::{API_VERSION, MIN_API_VERSION};

use super::host;
use crate::daemon::Daemon;

/// Versions of this daemon and of what it runs on.
pub(crate) async fn version(daemon: &Daemon) -> Version {
    let engine = engine();
    let details = [
        ("ApiVersion", engine.api_version.as_str()),
        ("Arch", &engine.arch),
        ("BuildTime", &engine.build_time),
        ("Experimental", "false"),
        ("GitCommit", &engine.git_commit),
        ("GoVersion", &engine.go_version),
        ("KernelVersion", &engine.kernel_version),
        ("MinAPIVersion", &engine.min_api_version),
        ("Os", &engine.os),
    ];
    let mut components = vec![component("Engine", &engine.version, &details)];
    if let Ok(answer) = daemon.supervisor.version().version(()).await {
        let answer = answer.into_inner();
        components.push(component("containerd", &answer.version, &[("GitCommit", &answer.revision)]));
    }
    components.push(component("runc", env!("CARGO_PKG_VERSION"), &[("GitCommit", "")]));
    Version { components, ..engine }
}

fn component(name: &str, version: &str, details: &[(&str, &str)]) -> Component {
    let details = details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Component { name: name.to_owned(), version: version.to_owned(), details }
}

fn engine() -> Version {
    Version {
        platform: Platform { name: "Dhow".to_owned() },
        components: Vec::new(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api_version: API_VERSION.to_owned(),
        min_api_version: MIN_API_VERSION.to_owned(),
        git_commit: option_env!("DHOW_GIT_COMMIT").unwrap_or_default().to_owned(),
        go_version: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
        os: "linux".to_owned(),
        arch: host::architecture().to_owned(),
        kernel_version: host::kernel(),
        experimental: false,
        build_time: option_env!("DHOW_BUILD_TIME").unwrap_or_default().to_owned(),
    }
}
