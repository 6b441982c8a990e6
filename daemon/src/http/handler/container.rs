//! `/containers`.

use std::sync::Arc;

use dhow_engine_api::container::{CreateRequest, UpdateConfig, WaitError, WaitResponse};
use futures_util::stream;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot::Receiver;
use tokio_stream::wrappers::ReceiverStream;

use crate::container::attach::{self, Streams};
use crate::container::log;
use crate::container::remove::How;
use crate::container::signal::Signal;
use crate::container::stop::Changed;
use crate::container::wait::Condition;
use crate::container::{
    Container, create as creating, detach, inspect as inspecting, list as listing, prune as pruning,
    remove as removing, rename as renaming, resize as resizing, start as starting, stats as measuring,
    stop as stopping, top as topping, update as updating, wait as waiting,
};
use crate::http::body::{self, Answer, Outcome};
use crate::http::call::Call;
use crate::http::error::HttpError;
use crate::http::hijack::{self, Framing};
use crate::http::version::Version;
use crate::time::parse_bound;

fn find(call: &Call, name: &str) -> Result<Arc<Container>, HttpError> {
    Ok(call.daemon.containers.find(name)?)
}

fn done(changed: Changed) -> Answer {
    body::empty(match changed {
        Changed::Yes => StatusCode::NO_CONTENT,
        Changed::No => StatusCode::NOT_MODIFIED,
    })
}

fn no_content() -> Outcome {
    Ok(body::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn list(call: &Call) -> Outcome {
    let wish = listing::Wish {
        all: call.query.flag("all"),
        limit: call
            .query
            .number::<i64>("limit")?
            .and_then(|limit| usize::try_from(limit).ok())
            .filter(|n| *n > 0),
        size: call.query.flag("size"),
        filters: call.filters(listing::FILTERS)?,
    };
    body::ok(&listing::list(&call.daemon, &wish).await?)
}

pub(crate) async fn create(mut call: Call) -> Outcome {
    let request: CreateRequest = call.document().await?;
    let created = creating::create(&call.daemon, call.query.text("name"), request).await?;
    Ok(body::json(StatusCode::CREATED, &created))
}

pub(crate) async fn prune(call: &Call) -> Outcome {
    let filters = call.filters(pruning::FILTERS)?;
    let until = filters.values("until").first().map(|text| past(text)).transpose()?;
    body::ok(&pruning::prune(&call.daemon, &filters, until).await)
}

/// A point in time, or how long ago it was (`24h`).
fn past(text: &str) -> Result<jiff::Timestamp, HttpError> {
    let ago = || {
        let span: jiff::SignedDuration = text.parse().ok()?;
        jiff::Timestamp::now().checked_sub(span).ok()
    };
    let time = parse_bound(text).or_else(ago);
    time.ok_or_else(|| HttpError::invalid(format!("invalid filter 'until={text}': no point in time")))
}

pub(crate) async fn inspect(call: &Call, name: &str) -> Outcome {
    let container = find(call, name)?;
    body::ok(&inspecting::inspect(&call.daemon, &container, call.query.flag("size")).await)
}

pub(crate) async fn top(call: &Call, name: &str) -> Outcome {
    body::ok(&topping::top(&call.daemon, &find(call, name)?, call.query.text("ps_args")).await?)
}

pub(crate) async fn start(call: &Call, name: &str) -> Outcome {
    let (daemon, container) = (Arc::clone(&call.daemon), find(call, name)?);
    // On its own feet: a client that hangs up does not leave half a start behind.
    let started = tokio::spawn(async move { starting::start(&daemon, &container).await }).await;
    Ok(done(joined(started)??))
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, HttpError> {
    result.map_err(|_| HttpError::new(dhow_proto::error::Kind::Internal, "the action was cut short"))
}

fn signal(call: &Call) -> Result<Option<Signal>, HttpError> {
    match call.query.text("signal") {
        "" => Ok(None),
        text => Ok(Some(Signal::parse(text)?)),
    }
}

pub(crate) async fn stop(call: &Call, name: &str) -> Outcome {
    let (daemon, container) = (Arc::clone(&call.daemon), find(call, name)?);
    let (signal, seconds) = (signal(call)?, call.query.number("t")?);
    let stopped =
        tokio::spawn(async move { stopping::stop(&daemon, &container, signal, seconds).await }).await;
    Ok(done(joined(stopped)??))
}

pub(crate) async fn restart(call: &Call, name: &str) -> Outcome {
    let (daemon, container) = (Arc::clone(&call.daemon), find(call, name)?);
    let (signal, seconds) = (signal(call)?, call.query.number("t")?);
    let restarted =
        tokio::spawn(async move { stopping::restart(&daemon, &container, signal, seconds).await }).await;
    joined(restarted)??;
    no_content()
}

pub(crate) async fn kill(call: &Call, name: &str) -> Outcome {
    let container = find(call, name)?;
    stopping::kill(&call.daemon, &container, signal(call)?.unwrap_or(Signal::KILL)).await?;
    no_content()
}

pub(crate) async fn pause(call: &Call, name: &str) -> Outcome {
    stopping::pause(&call.daemon, &find(call, name)?).await?;
    no_content()
}

pub(crate) async fn unpause(call: &Call, name: &str) -> Outcome {
    stopping::unpause(&call.daemon, &find(call, name)?).await?;
    no_content()
}

pub(crate) async fn rename(call: &Call, name: &str) -> Outcome {
    renaming::rename(&call.daemon, &find(call, name)?, call.query.text("name")).await?;
    no_content()
}

pub(crate) async fn remove(call: &Call, name: &str) -> Outcome {
    if call.query.flag("link") {
        return Err(HttpError::new(
            dhow_proto::error::Kind::Unimplemented,
            "links between containers are not kept",
        ));
    }
    let (daemon, container) = (Arc::clone(&call.daemon), find(call, name)?);
    let how = How { force: call.query.flag("force"), volumes: call.query.flag("v") };
    let removed = tokio::spawn(async move { removing::remove(&daemon, &container, how).await }).await;
    joined(removed)??;
    no_content()
}

pub(crate) async fn resize(call: &Call, name: &str) -> Outcome {
    let (height, width) = size(call)?;
    resizing::resize(&call.daemon, &*find(call, name)?, height, width).await?;
    Ok(body::empty(StatusCode::OK))
}

/// The size of a terminal in a request.
pub(super) fn size(call: &Call) -> Result<(u32, u32), HttpError> {
    let side = |name| call.query.number(name).map(Option::unwrap_or_default);
    Ok((side("h")?, side("w")?))
}

/// The headers leave at once: a client starts the container when it has them.
pub(crate) fn wait(call: &Call, name: &str) -> Outcome {
    let condition = Condition::parse(call.query.text("condition"))?;
    let exit = waiting::wait(&find(call, name)?, condition);
    Ok(body::lines(stream::once(exit_of(exit))))
}

async fn exit_of(exit: Receiver<waiting::Exit>) -> WaitResponse {
    match exit.await {
        Ok(exit) => WaitResponse {
            error: Some(exit.error).filter(|error| !error.is_empty()).map(|message| WaitError { message }),
            status_code: exit.code,
        },
        Err(_) => WaitResponse {
            error: Some(WaitError { message: "the daemon is ending".to_owned() }),
            status_code: 125,
        },
    }
}

pub(crate) fn stats(call: &Call, name: &str) -> Outcome {
    let wish = match (call.query.flag_or_on("stream"), call.query.flag("one-shot")) {
        (true, true) => return Err(HttpError::invalid("cannot have stream=true and one-shot=true")),
        (true, false) => measuring::Wish::Stream,
        (false, true) => measuring::Wish::OneShot,
        (false, false) => measuring::Wish::Once,
    };
    Ok(body::lines(measuring::measure(Arc::clone(&call.daemon), find(call, name)?, wish)))
}

pub(crate) async fn update(mut call: Call, name: &str) -> Outcome {
    let container = find(&call, name)?;
    let wanted: UpdateConfig = call.document().await?;
    body::ok(&updating::update(&call.daemon, &container, wanted).await?)
}

pub(crate) async fn logs(call: &Call, name: &str) -> Outcome {
    let query = &call.query;
    let (stdout, stderr) = (query.flag("stdout"), query.flag("stderr"));
    if !(stdout || stderr) {
        return Err(HttpError::invalid("Bad parameters: you must choose at least one stream"));
    }
    let container = find(call, name)?;
    let bound = |name| match query.text(name) {
        "" | "0" => Ok(None),
        text => parse_bound(text)
            .map(Some)
            .ok_or_else(|| HttpError::invalid(format!("invalid value for {name:?}: {text}"))),
    };
    let wish = log::Wish {
        stdout,
        stderr,
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        tail: query.text("tail").parse().ok(),
        since: bound("since")?,
        until: bound("until")?,
    };
    let framing = Framing::of(container.state().record.config.tty);
    let lines = log::read(&container, wish)?;
    Ok(body::stream(framing.content_type(call.version), ReceiverStream::new(lines)))
}

/// Takes the connection over. Everything that can fail is tried before the answer.
pub(crate) async fn attach(mut call: Call, name: &str) -> Outcome {
    let container = find(&call, name)?;
    let query = call.query.clone();
    let keys = detach::parse(query.text("detachKeys"))?;
    let wanted =
        Streams { stdin: query.flag("stdin"), stdout: query.flag("stdout"), stderr: query.flag("stderr") };
    let framing = Framing::of(container.state().record.config.tty);
    let past = if query.flag("logs") { Some(log::read(&container, log::Wish::past(wanted))?) } else { None };
    let connection =
        if query.flag("stream") { Some(attach::connect(&call.daemon, &container).await?) } else { None };
    container.tell_event(&call.daemon, "attach", &[]);
    let daemon = Arc::clone(&call.daemon);
    let version: Version = call.version;
    let session = attach::Session { container, past, connection, wanted, keys };
    let content_type = framing.content_type(version);
    match hijack::take(&mut call) {
        Some(upgrade) => {
            tokio::spawn(async move {
                if let Ok(client) = upgrade.await {
                    session.serve(&daemon, TokioIo::new(client)).await;
                }
            });
            Ok(hijack::upgraded(content_type))
        }
        None => {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            tokio::spawn(async move { session.without_input().serve(&daemon, ours).await });
            Ok(body::stream(content_type, tokio_util::io::ReaderStream::new(theirs)))
        }
    }
}

/// How much output may wait for a client that takes it as a body.
pub(super) const PIPE: usize = 64 << 10;
