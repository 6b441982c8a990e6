//! `/volumes`.

use dhow_engine_api::volume::{VolumeCreate, VolumeList};
use http::StatusCode;

use crate::daemon::Daemon;
use crate::http::body::{self, Outcome};
use crate::http::call::Call;
use crate::http::version::Version;

/// Names that `filters` of a list may use.
const FILTERS: &[&str] = &["dangling", "driver", "label", "label!", "name"];
/// Names that `filters` of a prune may use.
const PRUNE_FILTERS: &[&str] = &["all", "label", "label!"];

/// Who has a volume: the containers whose records mount it, whether they run or not.
pub(crate) fn users(daemon: &Daemon) -> impl Fn(&str) -> Vec<String> + use<> {
    let containers = daemon.containers.all();
    let mounts: Vec<(String, Vec<String>)> = containers
        .iter()
        .map(|container| {
            let record = container.record();
            (record.id, record.mounts.into_iter().map(|mount| mount.name).collect())
        })
        .collect();
    move |volume: &str| {
        let having = mounts.iter().filter(|(_, names)| names.iter().any(|name| name == volume));
        having.map(|(id, _)| id.clone()).collect()
    }
}

pub(crate) fn list(call: &Call) -> Outcome {
    let filters = call.filters(FILTERS)?;
    let dangling = filters.flag("dangling")?;
    let volumes = call.daemon.volumes.list(&filters, dangling, &users(&call.daemon))?;
    body::ok(&VolumeList { volumes: Some(volumes), warnings: None })
}

pub(crate) async fn create(mut call: Call) -> Outcome {
    let wanted: VolumeCreate = call.document().await?;
    let volume = call.daemon.volumes.create(wanted)?;
    tell(&call, "create", &volume.name);
    Ok(body::json(StatusCode::CREATED, &volume))
}

pub(crate) fn inspect(call: &Call, name: &str) -> Outcome {
    body::ok(&call.daemon.volumes.find(name)?)
}

pub(crate) fn remove(call: &Call, name: &str) -> Outcome {
    call.daemon.volumes.remove(name, call.query.flag("force"), &users(&call.daemon))?;
    tell(call, "destroy", name);
    Ok(body::empty(StatusCode::NO_CONTENT))
}

pub(crate) fn prune(call: &Call) -> Outcome {
    let filters = call.filters(PRUNE_FILTERS)?;
    // Before 1.42 all unused volumes went; since then those with a name only when asked for.
    let all = filters.flag("all")?.unwrap_or_else(|| call.version < Version::one(42));
    body::ok(&call.daemon.volumes.prune(&filters, all, &users(&call.daemon))?)
}

fn tell(call: &Call, action: &str, name: &str) {
    let attributes = [("driver".to_owned(), "local".to_owned())].into();
    call.daemon.events.publish("volume", action, name, attributes);
}
