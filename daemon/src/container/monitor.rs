//! The daemon's one ear at the supervisor: every exit and every memory shortage comes through here.
//!
//! A subscription tells only what happens after it began, so each one is followed by a look at what is: [`recovery`].
//! An event and that look may both report one exit; the second report changes nothing.

use std::sync::Arc;
use std::time::Duration;

use dhow_proto::any;
use dhow_proto::containerd::events::{TaskExit, TaskOom, TaskPaused, TaskResumed};
use dhow_proto::containerd::services::events::v1::{PublishRequest, SubscribeRequest};
use dhow_proto::containerd::types::Envelope;
use tonic::Streaming;

use super::exit::{self, Ending};
use super::recovery;
use super::state::Container;
use crate::daemon::Daemon;

/// How long an answer may take before we knock.
const KNOCK: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Listens for ever; subscribes again whenever the supervisor went away.
pub(crate) async fn run(daemon: Arc<Daemon>, mut events: Streaming<Envelope>) {
    loop {
        while let Ok(Some(event)) = events.message().await {
            dispatch(&daemon, &event);
        }
        tracing::warn!("no more events from the supervisor; subscribing again");
        events = subscribe_again(&daemon).await;
        if let Err(status) = recovery::reconcile(&daemon, recovery::Moment::Reconnected).await {
            tracing::warn!(%status, "cannot list tasks; subscribing again");
        }
    }
}

/// Subscribes to the tasks of our namespace; what happens after this returns is heard.
///
/// A supervisor written in Go does not answer before the first event. So we knock: an event of our own is published
/// until the answer is there, which then also proves that the subscription hears.
pub(crate) async fn subscribe(daemon: &Daemon) -> Result<Streaming<Envelope>, tonic::Status> {
    let filter = format!("namespace=={},topic~=|^/tasks/|", daemon.supervisor.namespace());
    let mut events = daemon.supervisor.events();
    let answer = events.subscribe(SubscribeRequest { filters: vec![filter] });
    tokio::pin!(answer);
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(answer?.into_inner()),
            () = tokio::time::sleep(KNOCK) => {
                let event = Some(any::pack(&TaskPaused::default()));
                let knock = PublishRequest { topic: "/tasks/subscribed".to_owned(), event };
                daemon.supervisor.events().publish(knock).await?;
            }
        }
    }
}

async fn subscribe_again(daemon: &Daemon) -> Streaming<Envelope> {
    let mut pause = FIRST_PAUSE;
    loop {
        match subscribe(daemon).await {
            Ok(events) => return events,
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn dispatch(daemon: &Arc<Daemon>, envelope: &Envelope) {
    let Some(payload) = &envelope.event else { return };
    if let Some(Ok(event)) = any::unpack::<TaskExit>(payload) {
        exited(daemon, event);
    } else if let Some(Ok(event)) = any::unpack::<TaskOom>(payload) {
        with(daemon, &event.container_id, |container| {
            container.state().record.history.oom_killed = true;
            container.tell_event(daemon, "oom", &[]);
        });
    } else if let Some(Ok(event)) = any::unpack::<TaskPaused>(payload) {
        with(daemon, &event.container_id, |container| container.set_paused(true));
    } else if let Some(Ok(event)) = any::unpack::<TaskResumed>(payload) {
        with(daemon, &event.container_id, |container| container.set_paused(false));
    }
}

fn with(daemon: &Daemon, id: &str, act: impl FnOnce(&Container)) {
    if let Some(container) = daemon.containers.get(id) {
        act(&container);
    }
}

fn exited(daemon: &Arc<Daemon>, event: TaskExit) {
    let Some(container) = daemon.containers.get(&event.container_id) else { return };
    let daemon = Arc::clone(daemon);
    if event.id != event.container_id {
        tokio::spawn(async move { daemon.execs.ended(&daemon, &event.id, event.exit_status.into()).await });
        return;
    }
    let ending = Ending {
        pid: Some(event.pid),
        code: event.exit_status.into(),
        at: crate::time::from_wire(event.exited_at.as_ref()),
    };
    tokio::spawn(async move { exit::handle(&daemon, &container, ending).await });
}
