//! The supervisor by its gRPC services: what clients of containerd rely on.

mod checkpoint;
mod concurrency;
mod connection;
mod content;
mod crash;
mod diff;
mod full_disk;
mod hanging_shim;
mod leases;
mod mounts;
mod rebase;
mod repair;
mod sandbox;
mod snapshots;
mod tasks;
mod transfer;
mod unified;
