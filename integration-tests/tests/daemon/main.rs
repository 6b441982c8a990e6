//! The daemon through our CLI: what a user does every day, seen from inside and outside of containers.

mod disk_usage;
mod exec;
mod images;
mod lifecycle;
mod logs;
mod network;
mod terminal;
