//! `/networks`.

use std::collections::BTreeMap;

use dhow_engine_api::network::{
    Network, NetworkConnect, NetworkCreate, NetworkCreated, NetworkDisconnect, NetworkPruneReport,
};
use http::StatusCode;

use crate::http::body::{self, Outcome};
use crate::http::call::Call;
use crate::network::manage::FILTERS;

/// Names that `filters` of a prune may use.
const PRUNE_FILTERS: &[&str] = &["label", "label!", "until"];

pub(crate) fn list(call: &Call) -> Outcome {
    let filters = call.filters(FILTERS)?;
    let dangling = filters.flag("dangling")?;
    body::ok(&call.daemon.networks.list(&filters, dangling))
}

pub(crate) fn inspect(call: &Call, name: &str) -> Outcome {
    body::ok(&call.daemon.networks.inspect(name)?)
}

pub(crate) async fn create(mut call: Call) -> Outcome {
    let wanted: NetworkCreate = call.document().await?;
    let id = call.daemon.networks.create(wanted).await?;
    let network = call.daemon.networks.inspect(&id)?;
    tell(&call, "create", &network, None);
    Ok(body::json(StatusCode::CREATED, &NetworkCreated { id, warning: String::new() }))
}

pub(crate) async fn remove(call: &Call, name: &str) -> Outcome {
    let network = call.daemon.networks.remove(name).await?;
    tell(call, "destroy", &network, None);
    Ok(body::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn connect(mut call: Call, name: &str) -> Outcome {
    let NetworkConnect { container, endpoint_config } = call.document().await?;
    let network = call.daemon.networks.inspect(name)?;
    let id = crate::container::connect(
        &call.daemon,
        &container,
        &network.name,
        endpoint_config.unwrap_or_default(),
    )
    .await?;
    tell(&call, "connect", &network, Some(&id));
    Ok(body::empty(StatusCode::OK))
}

pub(crate) async fn disconnect(mut call: Call, name: &str) -> Outcome {
    let NetworkDisconnect { container, force } = call.document().await?;
    let network = call.daemon.networks.inspect(name)?;
    let id = crate::container::disconnect(&call.daemon, &container, &network.name, force).await?;
    tell(&call, "disconnect", &network, Some(&id));
    Ok(body::empty(StatusCode::OK))
}

pub(crate) async fn prune(call: &Call) -> Outcome {
    let filters = call.filters(PRUNE_FILTERS)?;
    // A container that does not run keeps the networks that it will want again.
    let containers = call.daemon.containers.all();
    let wanted = containers.iter().flat_map(|container| {
        let record = container.record();
        let endpoints = record.networking.endpoints_config.unwrap_or_default();
        endpoints.into_keys().chain([record.host.network_mode])
    });
    let deleted = call.daemon.networks.prune(filters, wanted.collect()).await?;
    body::ok(&NetworkPruneReport { networks_deleted: Some(deleted).filter(|names| !names.is_empty()) })
}

fn tell(call: &Call, action: &str, network: &Network, container: Option<&str>) {
    let mut attributes: BTreeMap<String, String> =
        [("name".to_owned(), network.name.clone()), ("type".to_owned(), network.driver.clone())].into();
    attributes.extend(container.map(|id| ("container".to_owned(), id.to_owned())));
    call.daemon.events.publish("network", action, &network.id, attributes);
}
