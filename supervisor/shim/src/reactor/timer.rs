//! Waiting for time to pass.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Reactor, either};

/// Ends when its moment has come.
#[derive(Debug)]
pub(crate) struct Sleep {
    reactor: Reactor,
    until: Instant,
    key: Option<u64>,
}

impl Reactor {
    /// Waits for `duration`.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        Sleep { reactor: self.clone(), until: Instant::now() + duration, key: None }
    }

    /// Waits for `future`, but no longer than `limit`; `None` when the time is up.
    pub(crate) async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        either(async { Some(future.await) }, async {
            self.sleep(limit).await;
            None
        })
        .await
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.until {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or_else(|| self.reactor.next_key());
        self.key = Some(key);
        self.reactor.0.timers.borrow_mut().insert((self.until, key), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            drop(self.reactor.0.timers.borrow_mut().remove(&(self.until, key)));
        }
    }
}
