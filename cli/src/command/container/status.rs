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

/// Asks for the exit code. The daemon has taken note when this returns; the answer comes later.
pub(super) async fn expect(
    client: &Rc<Client>,
    container: &str,
    removed: bool,
) -> Result<JoinHandle<i64>, Failure> {
    let condition = if removed { "removed" } else { "next-exit" };
    let query = Query::new().set("condition", condition);
    let reply = client.send(Call::post(path(container, "wait")).query(query)).await?;
    Ok(tokio::task::spawn_local(async move {
        match reply.json::<WaitResponse>("/containers/wait").await {
            Ok(WaitResponse { error: Some(error), .. }) if !error.message.is_empty() => {
                warn(&format!("Error waiting for container: {}", error.message));
                UNKNOWN
            }
            Ok(response) => response.status_code,
            Err(error) => {
                warn(&format!("Error waiting for container: {}", error.message()));
                UNKNOWN
            }
        }
    }))
}

/// The exit code as the result of a command.
pub(super) fn result(code: i64) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::exit(code)) }
}
