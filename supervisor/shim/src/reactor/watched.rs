//! Waiting for file descriptors.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};

use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;

use super::Reactor;

/// Who waits for a descriptor.
#[derive(Debug, Default)]
pub(super) struct Registration {
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Registration {
    pub(super) fn wake(&self, flags: EventFlags) {
        let ends = EventFlags::HUP | EventFlags::ERR;
        if flags.intersects(EventFlags::IN | EventFlags::PRI | EventFlags::RDHUP | ends) {
            wake(&self.reader);
        }
        if flags.intersects(EventFlags::OUT | ends) {
            wake(&self.writer);
        }
    }
}

fn wake(waiting: &RefCell<Option<Waker>>) {
    let waker = waiting.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A non-blocking descriptor under epoll's eye, edge-triggered: one future may read while one other writes.
///
/// Every operation is tried first; only `EAGAIN` makes it wait, so no edge can be missed.
#[derive(Debug)]
pub(crate) struct Watched<F: AsFd> {
    fd: F,
    key: u64,
    registration: Rc<Registration>,
    reactor: Reactor,
}

impl<F: AsFd> Watched<F> {
    /// Puts `fd`, which must be in non-blocking mode, under the loop's eye.
    pub(crate) fn new(reactor: &Reactor, fd: F) -> rustix::io::Result<Self> {
        let key = reactor.next_key();
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::PRI | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&reactor.0.epoll, &fd, epoll::EventData::new_u64(key), flags)?;
        let registration = Rc::new(Registration::default());
        reactor.0.registrations.borrow_mut().insert(key, Rc::clone(&registration));
        Ok(Self { fd, key, registration, reactor: reactor.clone() })
    }

    /// Does `operation`, waiting for input as long as it answers `EAGAIN`.
    pub(crate) async fn reading<T>(
        &self,
        operation: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        self.retrying(&self.registration.reader, operation).await
    }

    /// Does `operation`, waiting for room as long as it answers `EAGAIN`.
    pub(crate) async fn writing<T>(
        &self,
        operation: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        self.retrying(&self.registration.writer, operation).await
    }

    /// Writes all of `bytes`.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> rustix::io::Result<()> {
        while !bytes.is_empty() {
            let written = self.writing(|fd| rustix::io::write(fd, bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Waits for the next event of input, such as a change of a file that the kernel announces with `POLLPRI`.
    pub(crate) async fn event(&self) {
        let mut waited = false;
        let first_then_done = |_: BorrowedFd<'_>| {
            if std::mem::replace(&mut waited, true) { Ok(()) } else { Err(Errno::AGAIN) }
        };
        let done = self.reading(first_then_done).await;
        debug_assert!(done.is_ok(), "the operation has no other error");
    }

    async fn retrying<T>(
        &self,
        waiting: &RefCell<Option<Waker>>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        std::future::poll_fn(|context| {
            loop {
                match operation(self.fd.as_fd()) {
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        *waiting.borrow_mut() = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                    done => return Poll::Ready(done),
                }
            }
        })
        .await
    }
}

impl<F: AsFd> AsFd for Watched<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<F: AsFd> Drop for Watched<F> {
    fn drop(&mut self) {
        // Removed by hand: a child may hold a duplicate that would keep the registration alive past our close.
        let _ = epoll::delete(&self.reactor.0.epoll, &self.fd);
        drop(self.reactor.0.registrations.borrow_mut().remove(&self.key));
    }
}
