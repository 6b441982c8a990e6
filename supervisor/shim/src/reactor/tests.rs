//! Readiness and timers of one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use super::*;

#[test]
fn a_reader_waits_for_its_writer() {
    let reactor = Reactor::new().expect("epoll");
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("pipe");
    let reader = Watched::new(&reactor, reader).expect("watch");
    let handle = reactor.clone();
    reactor.spawn(async move {
        handle.sleep(Duration::from_millis(5)).await;
        rustix::io::write(&writer, b"late").expect("write");
    });
    let mut buffer = [0; 16];
    let read =
        reactor.run(reader.reading(|fd| rustix::io::read(fd, &mut buffer))).expect("run").expect("read");
    assert_eq!(&buffer[..read], b"late");
    let end = reactor.run(reader.reading(|fd| rustix::io::read(fd, &mut [0; 16]))).expect("run");
    assert_eq!(end, Ok(0), "the writer is gone");
}

#[test]
fn a_change_wakes_every_waiter_once_its_condition_holds() {
    let reactor = Reactor::new().expect("epoll");
    let changed = Rc::new(Changed::default());
    let state = Rc::new(RefCell::new(0));
    let woken = Rc::new(RefCell::new(Vec::new()));
    for wanted in [2, 1] {
        let (changed, state, woken) = (Rc::clone(&changed), Rc::clone(&state), Rc::clone(&woken));
        reactor.spawn(async move {
            changed.until(|| (*state.borrow() >= wanted).then_some(())).await;
            woken.borrow_mut().push(wanted);
        });
    }
    let handle = reactor.clone();
    let step = async {
        for value in [1, 2] {
            handle.pause().await;
            *state.borrow_mut() = value;
            changed.notify();
        }
        handle.pause().await;
        handle.pause().await;
    };
    reactor.run(step).expect("run");
    assert_eq!(*woken.borrow(), [1, 2]);
}

#[test]
fn time_runs_out_only_for_those_who_are_late() {
    let reactor = Reactor::new().expect("epoll");
    let late = reactor.run(reactor.within(Duration::from_millis(2), std::future::pending::<()>()));
    assert_eq!(late, Ok(None));
    let early = reactor.run(reactor.within(Duration::from_secs(60), async { 7 }));
    assert_eq!(early, Ok(Some(7)));
    assert!(reactor.0.timers.borrow().is_empty(), "no timer outlives its future");
}
