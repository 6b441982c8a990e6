//! The event loop: one thread, one epoll, futures instead of callbacks.
//!
//! Owns: when a future is polled. A future waits for a file descriptor ([`Watched`]), for a moment ([`Reactor::sleep`])
//! or for a change of state that another future makes ([`Changed`]); nothing else wakes it. Does not own: any
//! container. It exists so that a hanging hook, a full FIFO or an absent supervisor never stops the copying of
//! output, while the code that waits still reads from top to bottom, and without a runtime's threads and memory.

mod changed;
#[cfg(test)]
mod tests;
mod timer;
mod watched;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

pub(crate) use changed::{Changed, either};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use watched::Registration;
pub(crate) use watched::Watched;

/// The future that [`Reactor::run`] drives itself.
const MAIN: u64 = 0;

/// A handle on the loop; clones share it.
#[derive(Clone)]
pub(crate) struct Reactor(Rc<Inner>);

struct Inner {
    epoll: OwnedFd,
    tasks: RefCell<BTreeMap<u64, Task>>,
    ready: Arc<Ready>,
    registrations: RefCell<BTreeMap<u64, Rc<Registration>>>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    last_key: Cell<u64>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

/// Keys of the tasks to poll next, in order.
#[derive(Default)]
struct Ready(Mutex<VecDeque<u64>>);

struct TaskWaker {
    key: u64,
    ready: Arc<Ready>,
}

impl Ready {
    fn push(&self, key: u64) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains(&key) {
            keys.push_back(key);
        }
    }

    fn pop(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.key);
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reactor").field("tasks", &self.0.tasks.borrow().len()).finish_non_exhaustive()
    }
}

impl Reactor {
    /// A loop with nothing to do yet.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        Ok(Self(Rc::new(Inner {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            tasks: RefCell::default(),
            ready: Arc::default(),
            registrations: RefCell::default(),
            timers: RefCell::default(),
            last_key: Cell::new(MAIN),
        })))
    }

    /// Starts `future` beside whatever runs; it is dropped when it ends or the loop does.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let key = self.next_key();
        let waker = self.waker(key);
        self.0.tasks.borrow_mut().insert(key, Task { future: Box::pin(future), waker });
        self.0.ready.push(key);
    }

    /// Runs `main` and everything spawned until `main` ends.
    pub(crate) fn run<T>(&self, main: impl Future<Output = T>) -> rustix::io::Result<T> {
        let mut main = pin!(main);
        let waker = self.waker(MAIN);
        self.0.ready.push(MAIN);
        loop {
            while let Some(key) = self.0.ready.pop() {
                if key != MAIN {
                    self.poll_task(key);
                } else if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Ok(output);
                }
            }
            self.wait()?;
        }
    }

    /// Lets every other ready future run before going on, so that a busy stream does not starve the rest.
    pub(crate) async fn pause(&self) {
        let mut paused = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut paused, true) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            self.0.timers.borrow_mut().insert((Instant::now(), self.next_key()), waker);
            Poll::Pending
        })
        .await;
    }

    fn next_key(&self) -> u64 {
        self.0.last_key.set(self.0.last_key.get() + 1);
        self.0.last_key.get()
    }

    fn waker(&self, key: u64) -> Waker {
        Waker::from(Arc::new(TaskWaker { key, ready: Arc::clone(&self.0.ready) }))
    }

    fn poll_task(&self, key: u64) {
        // Taken out while it runs, because it may spawn others.
        let Some(mut task) = self.0.tasks.borrow_mut().remove(&key) else { return };
        if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_pending() {
            self.0.tasks.borrow_mut().insert(key, task);
        }
    }

    fn wait(&self) -> rustix::io::Result<()> {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 32];
        let timeout = self.time_to_next_timer();
        let count = match epoll::wait(&self.0.epoll, &mut events, timeout.as_ref()) {
            Err(Errno::INTR) => 0,
            other => other?,
        };
        for event in &events[..count] {
            let registration = self.0.registrations.borrow().get(&event.data.u64()).cloned();
            if let Some(registration) = registration {
                registration.wake(event.flags);
            }
        }
        self.fire_timers();
        Ok(())
    }

    fn time_to_next_timer(&self) -> Option<Timespec> {
        let timers = self.0.timers.borrow();
        let (moment, _) = timers.keys().next()?;
        let left = moment.saturating_duration_since(Instant::now());
        Timespec::try_from(left).ok()
    }

    fn fire_timers(&self) {
        let now = Instant::now();
        loop {
            let mut timers = self.0.timers.borrow_mut();
            let Some(entry) = timers.first_entry().filter(|entry| entry.key().0 <= now) else { break };
            let waker = entry.remove();
            drop(timers);
            waker.wake();
        }
    }
}
