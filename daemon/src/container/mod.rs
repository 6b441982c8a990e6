//! Containers: their records, what they do, and every verb on them.
//!
//! Owns: one directory a container under the data root, the phase of each, restart policies, and the order in which
//! things happen. Does not own: processes (the supervisor's), networks, images, HTTP.

mod age;
pub(crate) mod attach;
mod connect;
pub(crate) mod create;
pub(crate) mod detach;
pub(crate) mod exec;
mod exit;
mod failure;
mod frame;
mod health;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod monitor;
mod name;
pub(crate) mod prune;
mod record;
pub(crate) mod recovery;
pub(crate) mod remove;
pub(crate) mod rename;
pub(crate) mod resize;
mod restart_policy;
mod rootfs;
pub(crate) mod signal;
pub(crate) mod spec;
pub(crate) mod start;
mod state;
pub(crate) mod stats;
mod stdio;
pub(crate) mod stop;
mod store;
mod surroundings;
pub(crate) mod top;
pub(crate) mod update;
pub(crate) mod wait;

pub(crate) use connect::{connect, disconnect};
pub(crate) use state::Container;
pub(crate) use store::Store;

use crate::daemon::Daemon;
use crate::image::User;

/// The images that containers are made of.
pub(crate) fn running_users(daemon: &Daemon) -> Vec<User> {
    let all = daemon.containers.all().into_iter();
    let user = |container: std::sync::Arc<Container>| {
        let state = container.state();
        User {
            container: container.id.clone(),
            image: state.record.image.clone(),
            running: state.is_running(),
        }
    };
    all.map(user).collect()
}
