//! Keeps a container's terminal as large as the user's.

use std::rc::Rc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::client::{Call, Client, ClientError, Query};
use crate::output::warn;

/// How often the first resize is tried again: the process may not have its terminal yet.
const RETRIES: u64 = 10;

/// Whose terminal it is.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A container's.
    Container(String),
    /// An exec's.
    Exec(String),
}

async fn resize(client: &Client, target: &Target) -> Result<(), ClientError> {
    let [rows, columns] = super::size();
    if rows == 0 && columns == 0 {
        return Ok(());
    }
    let path = match target {
        Target::Container(id) => format!("/containers/{id}/resize"),
        Target::Exec(id) => format!("/exec/{id}/resize"),
    };
    let query = Query::new().set("h", rows.to_string()).set("w", columns.to_string());
    client.done(Call::post(path).query(query)).await
}

/// Sets the size now and whenever the user's terminal changes, until the process ends.
pub(crate) fn follow(client: Rc<Client>, target: Target) {
    drop(tokio::task::spawn_local(async move {
        let changes = signal(SignalKind::window_change());
        let mut done = resize(&client, &target).await.is_ok();
        for retry in 1..=RETRIES {
            if done {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10 * retry)).await;
            done = resize(&client, &target).await.is_ok();
        }
        if !done {
            warn("failed to resize tty, using default size");
        }
        let Ok(mut changes) = changes else { return };
        while changes.recv().await.is_some() {
            // The process may just have ended.
            drop(resize(&client, &target).await);
        }
    }));
}
