//! The runtime by its command line, on a real kernel: what a container sees, and what the host sees of it.
//!
//! `RUNTIME=/usr/bin/runc cargo test --test runtime` proves the tests themselves against a peer.

mod apparmor;
mod attacks;
mod checkpoint;
mod config;
mod delegation;
mod exec;
mod failures;
mod features;
mod hooks;
mod isolation;
mod kills;
mod lifecycle;
mod listener;
mod mount_options;
mod mounts;
mod namespace_kinds;
mod namespaces;
mod network;
mod notify;
mod process;
mod resources;
mod rootless;
mod scheduling;
mod swaps;
mod systemd;
mod systemd_v1;
mod terminal;
mod unified;
