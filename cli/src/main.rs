//! The `dhow` command: Docker's command line over the Engine API.
//!
//! Owns: reading arguments, talking to one daemon, showing what it says. It keeps no state but the
//! user's `config.json`.

#![allow(rustdoc::invalid_html_tags, reason = "the documentation of a flag is its help")]

mod client;
mod command;
mod config;
mod error;
mod option;
mod output;
mod session;
mod terminal;

use std::process::ExitCode;

/// A variable of the environment, unless it is unset or empty.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn main() -> ExitCode {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        terminal::restore();
        hook(info);
    }));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::warn(&format!("start the executor: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let tasks = tokio::task::LocalSet::new();
    let result = tasks.block_on(&runtime, command::main(std::env::args_os().collect()));
    terminal::restore();
    // Threads that still wait for input die with the process.
    drop(tasks);
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let report = failure.report();
            if !report.is_empty() {
                output::warn(report.trim_end_matches('\n'));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
