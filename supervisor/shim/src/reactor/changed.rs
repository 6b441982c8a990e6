//! Waiting for what another future does.

use std::cell::RefCell;
use std::pin::pin;
use std::task::{Poll, Waker};

/// Tells waiting futures that some state has changed; they look at the state themselves.
#[derive(Debug, Default)]
pub(crate) struct Changed(RefCell<Vec<Waker>>);

impl Changed {
    /// Wakes everyone who waits.
    pub(crate) fn notify(&self) {
        let wakers = std::mem::take(&mut *self.0.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until `condition` yields a value; asked at once, and again after each [`Changed::notify`].
    pub(crate) async fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        std::future::poll_fn(|context| {
            if let Some(value) = condition() {
                return Poll::Ready(value);
            }
            let mut wakers = self.0.borrow_mut();
            if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// The output of whichever future ends first; the other is dropped.
pub(crate) async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    std::future::poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Pending => second.as_mut().poll(context),
        ready => ready,
    })
    .await
}
