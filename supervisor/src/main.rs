//! Placeholder.
#[allow(dead_code, reason = "the services that use it are not wired yet")]
mod event;

fn main() {}
