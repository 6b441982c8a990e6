//! The way out of what had an id: it may take its time, until somebody waits for the id.

use std::time::Duration;

use tokio::sync::watch;

/// How long a step may still take once somebody waits for the id: enough for a shim that works.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where those who wait for an id say so.
#[derive(Debug, Default)]
pub(super) struct Wish(watch::Sender<bool>);

impl Wish {
    pub(super) fn want(&self) {
        self.0.send_replace(true);
    }

    pub(super) fn departure(&self) -> Departure {
        Departure(self.0.subscribe())
    }
}

/// What takes something away that had an id asks this how long it may.
#[derive(Debug, Clone)]
pub(crate) struct Departure(watch::Receiver<bool>);

impl Departure {
    /// Does a step of it; `None` when it was given up, since somebody waits for the id.
    pub(crate) async fn within<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        let mut wish = self.0.clone();
        let overdue = async {
            if wish.wait_for(|wanted| *wanted).await.is_err() {
                // The id is free, and nobody can wait for it any more.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            biased;
            done = step => Some(done),
            () = overdue => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_has_time_until_the_id_is_wanted() {
        let wish = Wish::default();
        let departure = wish.departure();
        let unhurried = departure.within(tokio::time::sleep(PATIENCE * 2));
        assert!(unhurried.await.is_some());
        wish.want();
        assert!(departure.within(std::future::pending::<()>()).await.is_none());
        assert!(departure.within(async {}).await.is_some(), "each step has some");
    }
}
