//! Placeholder.

#[allow(dead_code, unused_imports, reason = "the verbs that use it are on their way")]
mod cgroup;
#[allow(dead_code, unused_imports, reason = "the verbs that use it are on their way")]
mod seccomp;

fn main() {}
