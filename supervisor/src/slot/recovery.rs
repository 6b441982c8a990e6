//! After a restart: everything that lives in shims is looked for at the same time, and nothing holds up the start.

use std::time::Duration;

use tokio::task::JoinSet;

/// How long a shim may take to say what it is doing before the start goes on without it.
pub(crate) const ANSWER: Duration = Duration::from_millis(400);
/// How long the start waits for all shims together, and for the ends of those that are gone to be told.
const PATIENCE: Duration = Duration::from_millis(600);

/// Does `recoveries` at the same time; returns when all are through, or after [`PATIENCE`]: the rest follows.
pub(crate) async fn recover<F>(recoveries: impl Iterator<Item = F>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut recovering: JoinSet<()> = recoveries.collect();
    let all = async { while recovering.join_next().await.is_some() {} };
    // Whoever keeps us waiting is told of by its own recovery.
    drop(tokio::time::timeout(PATIENCE, all).await);
    recovering.detach_all();
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn one_that_takes_long_holds_nobody_up_and_goes_on() {
        let (done, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let recoveries = [false, true, false].map(|slow| {
            let (done, go) = (done.clone(), go.clone());
            async move {
                if slow {
                    go.notified().await;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        recover(recoveries.into_iter()).await;
        assert_eq!(done.load(Ordering::Relaxed), 2);
        go.notify_one();
        while done.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
    }
}
