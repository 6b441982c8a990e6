//! Containers: their records, what they do, and every verb on them.
//!
//! Owns: one directory a container under the data root, the phase of each, restart policies, and the order in which
//! things happen. Does not own: processes (the supervisor's), networks, images, HTTP.

mod record;
pub(crate) mod spec;
mod state;
mod store;

pub(crate) use state::Container;
pub(crate) use store::Store;
