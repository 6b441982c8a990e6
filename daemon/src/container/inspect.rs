//! `inspect`: everything about one container.

use std::sync::Arc;

use dhow_engine_api::container::{ContainerInspect, ContainerState, GraphDriver};
use dhow_proto::containerd::services::snapshots::v1::{MountsRequest, UsageRequest};

use super::record::Record;
use super::start::SNAPSHOTTER;
use super::state::{Container, Phase, State};
use super::surroundings;
use crate::daemon::Daemon;

/// Inspects a container; `size` measures its files.
pub(crate) async fn inspect(
    daemon: &Arc<Daemon>,
    container: &Arc<Container>,
    size: bool,
) -> ContainerInspect {
    let (record, state) = {
        let state = container.state();
        (state.record.clone(), container_state(&state))
    };
    let network_settings = surroundings::network_settings(daemon, container);
    let sizes = if size { sizes(daemon, &record).await } else { None };
    let command = record.command();
    let file = |name: &str| {
        let path = container.folder.join(name);
        if path.exists() { path.display().to_string() } else { String::new() }
    };
    let execs = daemon.execs.of(&container.id);
    ContainerInspect {
        id: record.id.clone(),
        created: record.created.clone(),
        path: command.first().cloned().unwrap_or_default(),
        args: command.into_iter().skip(1).collect(),
        state,
        image: record.image.clone(),
        resolv_conf_path: file("resolv.conf"),
        hostname_path: file("hostname"),
        hosts_path: file("hosts"),
        log_path: record.log(&container.folder).map(|path| path.display().to_string()).unwrap_or_default(),
        name: format!("/{}", record.name),
        restart_count: record.history.restart_count,
        driver: "overlay2".to_owned(),
        platform: "linux".to_owned(),
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: String::new(),
        exec_ids: Some(execs).filter(|execs| !execs.is_empty()),
        graph_driver: graph_driver(daemon, &record).await,
        size_rw: sizes.map(|(written, _)| written),
        size_root_fs: sizes.map(|(_, all)| all),
        mounts: record.mounts.clone(),
        host_config: record.host,
        config: record.config,
        network_settings,
    }
}

fn container_state(state: &State) -> ContainerState {
    let history = &state.record.history;
    ContainerState {
        status: state.status().to_owned(),
        running: state.is_running(),
        paused: matches!(state.phase, Phase::Running { paused: true, .. }),
        restarting: matches!(state.phase, Phase::Restarting { .. }),
        oom_killed: history.oom_killed,
        dead: history.dead,
        pid: state.phase.pid().unwrap_or_default(),
        exit_code: if state.phase.pid().is_some() { 0 } else { history.exit_code },
        error: history.error.clone(),
        started_at: history.started_at.clone(),
        finished_at: history.finished_at.clone(),
        health: state.health.clone(),
    }
}

/// The folders of its root file system, in the words of the storage driver that clients know.
async fn graph_driver(daemon: &Daemon, record: &Record) -> GraphDriver {
    let name = "overlay2".to_owned();
    let request = MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key: record.id.clone() };
    let Ok(answer) = daemon.supervisor.snapshots().mounts(request).await else {
        return GraphDriver { data: None, name };
    };
    let mount = answer.into_inner().mounts.into_iter().next().unwrap_or_default();
    let option =
        |key: &str| mount.options.iter().find_map(|option| option.strip_prefix(key)).map(str::to_owned);
    let folders = [
        ("LowerDir", option("lowerdir=")),
        ("UpperDir", option("upperdir=")),
        ("WorkDir", option("workdir=")),
    ];
    let folders = folders.into_iter().filter_map(|(key, path)| Some((key.to_owned(), path?)));
    GraphDriver { data: Some(folders.collect()), name }
}

/// Bytes that it wrote, and bytes of all its files.
pub(crate) async fn sizes(daemon: &Daemon, record: &Record) -> Option<(i64, i64)> {
    let usage = |key: String| async {
        let request = UsageRequest { snapshotter: SNAPSHOTTER.to_owned(), key };
        daemon.supervisor.snapshots().usage(request).await.map(|answer| answer.into_inner().size).ok()
    };
    let written = usage(record.id.clone()).await?;
    let image = daemon.images.size(&record.image).await.unwrap_or_default();
    Some((written, written + image))
}
