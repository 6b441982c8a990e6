//! An OCI runtime with runc's command line: makes one container, or does one thing to it, and is gone.
//!
//! One thread, no asynchronous code, nothing that outlives the call: status is derived from the kernel each time.

#![allow(rustdoc::invalid_html_tags, reason = "the documentation of a flag is its help")]

mod cgroup;
mod command;
mod container;
mod criu;
mod dbus;
mod error;
mod hook;
mod init;
mod launch;
mod log;
mod network;
mod notify;
mod options;
mod resctrl;
mod rootfs;
mod seccomp;
mod spec;
mod validate;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::options::{Options, UsageError};

/// musl's own gives every few pages back to the kernel, and asks for them again: 68 calls and as many page faults.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let status = match run() {
        Ok(status) => status,
        Err(failure) => {
            report(&failure.text());
            failure.status
        }
    };
    // Statuses are those of processes (0 to 255).
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

fn run() -> command::Outcome {
    dhow_linux::descriptor::fill_standard()?;
    seal_early();
    let options = match Options::read() {
        Ok(options) => options,
        Err(UsageError::Clap(error)) => return usage(&error),
        Err(error @ UsageError::Verb(_)) => return Err(command::Failure::with_status(error, 3)),
        Err(error) => return Err(error.into()),
    };
    log::start(options.log.as_deref(), options.format()?, options.debug)?;
    if let Some(path) = &options.trace {
        dhow_linux::trace::start(path).map_err(dhow_linux::file::PathError::at("open trace", path))?;
    }
    if options.version {
        return version();
    }
    let global = options.global()?;
    options.verb.map_or(Ok(0), |verb| verb(&global))
}

/// Seals before most of the program was touched: each page of it that is in use must be mapped anew afterwards.
/// Whether that is needed, and what to do when it fails, is decided where processes are made.
fn seal_early() {
    let makes_processes = |argument: std::ffi::OsString| {
        ["create", "exec", "restore", "run"].iter().any(|verb| argument == **verb)
    };
    if std::env::args_os().any(makes_processes) {
        drop(dhow_linux::seal::seal());
    }
}

/// Help is an answer; anything else about the command line is an error of the caller.
fn usage(error: &clap::Error) -> command::Outcome {
    drop(error.print());
    Ok(i32::from(error.kind() != ErrorKind::DisplayHelp))
}

/// The lines that engines read.
fn version() -> command::Outcome {
    let commit = option_env!("DHOW_COMMIT").unwrap_or("unknown");
    let text =
        format!("runc version {}\ncommit: {commit}\nspec: {}\n", env!("CARGO_PKG_VERSION"), spec::VERSION);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

/// Logs the error, and shows it when the log is elsewhere.
fn report(text: &str) {
    log::error(text);
    if log::to_file() {
        drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
    }
}
