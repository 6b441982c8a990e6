//! `/_ping`, `/version`, `/info`, `/events`, `/system/df`, and what is always so without a swarm.

use std::sync::Arc;
use std::time::Duration;

use dhow_engine_api::disk_usage::{BuildPruneReport, DiskUsage};
use dhow_engine_api::event::Event;
use dhow_proto::error::Kind;
use futures_util::stream::{self, StreamExt};
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::image;
use crate::container::list;
use crate::event::{FILTERS, passes};
use crate::http::body::{self, Outcome};
use crate::http::call::Call;
use crate::http::error::HttpError;
use crate::system;
use crate::time::parse_bound;

/// What `/system/df` can be asked for.
const KINDS: [&str; 4] = ["container", "image", "volume", "build-cache"];

pub(crate) fn ping(call: &Call) -> Outcome {
    let text = if call.head.method == http::Method::HEAD { "" } else { "OK" };
    let mut answer = body::whole(StatusCode::OK, "text/plain; charset=utf-8", text);
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("builder-version"), HeaderValue::from_static("1"));
    headers.insert(HeaderName::from_static("swarm"), HeaderValue::from_static("inactive"));
    Ok(answer)
}

pub(crate) fn options() -> Outcome {
    Ok(body::empty(StatusCode::OK))
}

pub(crate) async fn version(call: &Call) -> Outcome {
    body::ok(&system::version(&call.daemon).await)
}

pub(crate) async fn info(call: &Call) -> Outcome {
    body::ok(&system::info(&call.daemon).await)
}

/// What takes space. Nothing is built here, so builds keep nothing.
pub(crate) async fn disk_usage(call: &Call) -> Outcome {
    let (asked, daemon) = (call.query.values("type"), &call.daemon);
    if let Some(other) = asked.iter().find(|kind| !KINDS.contains(kind)) {
        return Err(HttpError::invalid(format!("unknown object type: {other}")));
    }
    let wants = |kind| asked.is_empty() || asked.contains(&kind);
    let mut usage = DiskUsage::default();
    if wants("container") {
        let wish = list::Wish { all: true, size: true, ..list::Wish::default() };
        usage.containers = Some(list::list(daemon, &wish).await?);
    }
    if wants("image") {
        let used: Vec<String> =
            daemon.containers.all().iter().map(|container| container.record().image).collect();
        let (mut images, layers) = daemon.images.usage(&used).await?;
        image::for_version(&mut images, call.version);
        (usage.images, usage.layers_size) = (Some(images), layers);
    }
    if wants("volume") {
        let daemon = daemon.clone();
        let measured =
            tokio::task::spawn_blocking(move || daemon.volumes.usage(&super::volume::users(&daemon)));
        usage.volumes =
            Some(measured.await.map_err(|error| HttpError::new(Kind::Internal, error.to_string()))??);
    }
    if wants("build-cache") {
        usage.build_cache = Some(Vec::new());
    }
    body::ok(&usage)
}

pub(crate) fn prune_builds() -> Outcome {
    body::ok(&BuildPruneReport::default())
}

pub(crate) fn plugins() -> Outcome {
    body::ok(&Vec::<()>::new())
}

pub(crate) fn no_swarm(path: &[&str]) -> Outcome {
    let message = match path {
        ["swarm", "leave"] => "This node is not part of a swarm",
        _ => {
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."
        }
    };
    Err(HttpError::new(Kind::Unavailable, message))
}

/// Events since a time out of the ring, then live ones, until a time.
pub(crate) fn events(call: &Call) -> Outcome {
    let filters = call.filters(FILTERS)?;
    let since = bound(call, "since")?;
    let until = bound(call, "until")?;
    let (past, live) = call.daemon.events.listen(since.or(until));
    let end = until.map(|until| until.duration_until(Timestamp::now()).checked_neg().unwrap_or_default());
    let end = end.map(|end| tokio::time::Instant::now() + Duration::try_from(end).unwrap_or_default());
    let wanted = move |event: &Arc<Event>| {
        let late = until.is_some_and(|until| i128::from(event.time_nano) > until.as_nanosecond());
        std::future::ready(passes(event, &filters) && !late)
    };
    let live = stream::unfold((live, end), next);
    let events = stream::iter(past).chain(live).filter(wanted);
    Ok(body::lines(events.map(|event| Event::clone(&event))))
}

type Live = (Receiver<Arc<Event>>, Option<tokio::time::Instant>);

async fn next((mut live, end): Live) -> Option<(Arc<Event>, Live)> {
    loop {
        let received = match end {
            None => live.recv().await,
            Some(end) => tokio::time::timeout_at(end, live.recv()).await.ok()?,
        };
        match received {
            Ok(event) => return Some((event, (live, end))),
            Err(RecvError::Lagged(count)) => tracing::warn!(count, "a slow listener misses events"),
            Err(RecvError::Closed) => return None,
        }
    }
}

fn bound(call: &Call, name: &str) -> Result<Option<Timestamp>, HttpError> {
    match call.query.text(name) {
        "" => Ok(None),
        text => parse_bound(text).map(Some).ok_or_else(|| {
            HttpError::invalid(format!("invalid value {text:?} of parameter {name}: no point in time"))
        }),
    }
}
