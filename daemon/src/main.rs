//! Placeholder.

mod container;

fn main() {}
