//! The kernel boundary of Dhow: one kernel interface a file, and the only crate that may hold `unsafe`.
//!
//! Owns: calls that nix and rustix lack or get wrong, wrapped so that a safe caller cannot misuse them, and the
//! one way documents reach a disk ([`mod@file`]). Does not own: any decision about containers.
//! Everything here returns at once with the kernel's answer; nothing logs.

pub mod allocator;
pub mod bpf;
pub mod clone;
pub mod descriptor;
pub mod exec;
pub mod file;
pub mod fstab;
pub mod keyring;
pub mod loop_device;
pub mod loopback;
pub mod mount;
pub mod path;
pub mod process;
pub mod sched;
pub mod seal;
pub mod seccomp;
pub mod session;
pub mod signal;
pub mod sleeper;
pub mod spawn;
pub mod trace;
pub mod user_namespace;
