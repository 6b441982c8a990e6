//! `make test-vm`: the integration tests that want another machine, in one.
//!
//! The host of a build has whatever cgroups it has and seldom a systemd to talk to. So Debian's cloud kernel is booted
//! in QEMU, by software emulation, with systemd, AppArmor, CRIU and network drivers, once with cgroup v2 and once with
//! v1 ([`options::LAP`]); the binaries under test and the tests' executables come in on a second disk, their output and
//! exit statuses go out through a serial port.
//! ```text
//! options  what to run below which cgroups; by default the whole lap
//! image    the disk with Debian, made once for a list of packages
//! payload  the disk with binaries, tests and the job, made for each run
//! machine  QEMU, with a deadline
//! ```
//! There `DHOW_VM` is set: a test that lacks something is not skipped, it fails (`src/needs.rs`).
//!
//! `vm [--cgroup v2|hybrid|v1] [--test NAME]… [--share FOLDER] [--deadline SECONDS] [-- FILTER…]`. A shared folder has
//! an executable `job`, which runs instead of the tests, and is found at `/payload`. `RUNTIME` names a static peer to
//! prove the tests with.

mod image;
mod machine;
mod options;
mod payload;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::image::Image;
use crate::machine::{Machine, Outcome};
use crate::options::{Boot, Options};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("vm: {wrong}");
            return ExitCode::from(2);
        }
    };
    let image = image::ready();
    // One that failed does not keep the others from being tried.
    let failed = options.boots.iter().filter(|boot| !run(&image, boot, options.deadline)).count();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(image: &Image, boot: &Boot, deadline: Duration) -> bool {
    let work = tempfile::tempdir().expect("temporary folder");
    let payload = payload::make(boot, work.path());
    println!("vm: booting with cgroup {}", boot.cgroup.name());
    let started = Instant::now();
    let outcome = Machine::start(image, boot.cgroup, &payload, work.path()).run(deadline);
    summary(&outcome, started.elapsed().as_secs());
    matches!(outcome, Outcome::Done { failed: 0 })
}

fn summary(outcome: &Outcome, seconds: u64) {
    match outcome {
        Outcome::Done { failed: 0 } => println!("vm: passed, in {seconds} s with the boot"),
        Outcome::Done { failed } => {
            println!("vm: {failed} of its commands failed, in {seconds} s with the boot")
        }
        Outcome::Silent { console } => {
            println!("vm: went down without finishing its job; the end of its console:\n{console}");
        }
        Outcome::Late { console } => {
            println!("vm: killed after {seconds} s; the end of its console:\n{console}")
        }
    }
}
