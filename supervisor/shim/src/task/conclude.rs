//! The end of a process: what must have happened before its exit is told.

use std::rc::Rc;
use std::time::Duration;

use dhow_proto::containerd::events::{TaskExit, TaskOom};

use super::Shim;
use super::container::{Container, Freezer};
use super::process::{Process, State};
use crate::exit_record::ExitRecord;
use crate::journal;

/// How long clients stay attached when something that the process left behind still holds its stdout.
const LINGER: Duration = Duration::from_secs(2);

impl Shim {
    /// Waits beside everything else for the end of `process`, and tells it.
    pub(super) fn follow(self: &Rc<Self>, container: &Rc<Container>, process: &Rc<Process>) {
        if process.is_init() {
            self.watch_memory(container);
        }
        let (shim, container, process) = (Rc::clone(self), Rc::clone(container), Rc::clone(process));
        self.reactor.spawn(async move { shim.conclude(&container, &process).await });
    }

    async fn conclude(&self, container: &Container, process: &Rc<Process>) {
        let exit = self.reaper.exit_of(process.pid.get()).await;
        if process.is_init() {
            container.init_is_dead.set(true);
            self.end_the_others(container).await;
        }
        // A start that is under way has its own event to publish first.
        process.settled().await;
        let io = process.io.borrow().clone();
        if let Some(io) = &io {
            io.settled().await;
        }
        if process.is_init() {
            self.tell_oom(container);
        }
        let pid = process.pid.get();
        if let Err(error) =
            ExitRecord::new(&container.id, &process.exec_id, pid, exit).save(&container.bundle)
        {
            journal::warn("keep exit", &error);
        }
        process.enter(State::Stopped(exit));
        let id = if process.is_init() { &container.id } else { &process.exec_id };
        let event = TaskExit {
            container_id: container.id.clone(),
            id: id.clone(),
            pid,
            exit_status: exit.status,
            exited_at: Some(exit.at),
        };
        self.publisher.publish("/tasks/exit", &event);
        if let Some(io) = io {
            io.end(LINGER);
        }
    }

    /// Sees to it that every exec has ended before the first process is said to have.
    async fn end_the_others(&self, container: &Container) {
        if container.freezer.get() == Freezer::Freezing {
            container.init.settled().await;
        }
        if container.freezer.replace(Freezer::Thawed) == Freezer::Frozen {
            drop(container.runtime.run(["resume", &container.id]).await);
        }
        if container.shares_pids()
            && let Err(error) = container.runtime.run(["kill", "--all", &container.id, "9"]).await
        {
            journal::warn("kill the container's other processes", &error);
        }
        for exec in container.execs() {
            exec.changed.until(|| (!exec.is_busy() && exec.state() != State::Running).then_some(())).await;
        }
    }

    /// Tells of every OOM kill in the container as it happens.
    fn watch_memory(self: &Rc<Self>, container: &Rc<Container>) {
        let Some(cgroup) = container.cgroup.clone() else { return };
        let watch = match cgroup.watch_memory(&self.reactor) {
            Ok(Some(watch)) => watch,
            Ok(None) => return,
            Err(error) => return journal::warn("watch memory", &error),
        };
        let (shim, container) = (Rc::clone(self), Rc::clone(container));
        self.reactor.spawn(async move {
            let dead = container.init.changed.until(|| match container.init.state() {
                State::Stopped(_) | State::Deleted => Some(()),
                State::Created | State::Running => None,
            });
            let watching = async {
                loop {
                    watch.event().await;
                    shim.tell_oom(&container);
                }
            };
            crate::reactor::either(dead, watching).await;
        });
    }

    fn tell_oom(&self, container: &Container) {
        if container.cgroup.as_ref().is_some_and(|cgroup| cgroup.has_new_oom()) {
            self.publisher.publish("/tasks/oom", &TaskOom { container_id: container.id.clone() });
        }
    }
}
