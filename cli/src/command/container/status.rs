//! The exit code of a container that is about to start.

use std::rc::Rc;

use dhow_engine_api::container::WaitResponse;
use tokio::task::JoinHandle;

use super::path;
use crate::client::{Call, Client, Query};
use crate::error::Failure;
use crate::output::warn;

/// Exit code when the daemon does not tell the container's.
const UNKNOWN: i64 = 125;

/// An exit code that is still to come.
#[derive(Debug)]
pub(super) struct Status(JoinHandle<Result<i64, String>>);

/// Asks for the exit code. The daemon has taken note when this returns; the answer comes later.
pub(super) async fn expect(client: &Rc<Client>, container: &str, removed: bool) -> Result<Status, Failure> {
    let condition = if removed { "removed" } else { "next-exit" };
    let query = Query::new().set("condition", condition);
    let reply = client.send(Call::post(path(container, "wait")).query(query)).await?;
    Ok(Status(tokio::task::spawn_local(async move {
        match reply.json::<WaitResponse>("/containers/wait").await {
            Ok(WaitResponse { error: Some(error), .. }) if !error.message.is_empty() => Err(error.message),
            Ok(response) => Ok(response.status_code),
            Err(error) => Err(error.message()),
        }
    })))
}

impl Status {
    /// Waits for it.
    pub(super) async fn code(&mut self) -> i64 {
        match (&mut self.0).await {
            Ok(Ok(code)) => code,
            Ok(Err(cause)) => {
                warn(&format!("Error waiting for container: {cause}"));
                UNKNOWN
            }
            Err(_) => UNKNOWN,
        }
    }

    /// Waits until the container is gone; how it ended was told otherwise.
    pub(super) async fn over(self) {
        drop(self.0.await);
    }
}

/// The exit code as the result of a command.
pub(super) fn result(code: i64) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::exit(code)) }
}
