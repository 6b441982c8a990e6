//! `dhowd`: serves the Docker Engine API and drives the supervisor below it.

mod container;
mod daemon;
mod error;
mod event;
mod http;
mod identifier;
mod image;
mod listen;
mod network;
mod options;
mod pidfile;
mod supervisor;
mod system;
mod time;
mod undo;
mod volume;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::daemon::Daemon;
use crate::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    log_to_stderr(&options);
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime of asynchronous tasks")
        .and_then(|runtime| {
            let result = runtime.block_on(run(options));
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let listeners = listen::parse(&options.hosts)?;
    let pidfile = pidfile::take(&options.pidfile)?;
    let daemon = tokio::select! {
        daemon = Daemon::open(options) => daemon?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let sockets = listen::bind(&listeners, &daemon.options.group)?;
    tracing::info!(hosts = ?daemon.options.hosts, "API listens");
    tokio::select! {
        () = listen::serve(&sockets, &daemon) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending; containers go on");
    listen::unlink(&listeners);
    Arc::clone(&daemon).close().await;
    drop(pidfile);
    Ok(())
}

fn log_to_stderr(options: &Options) {
    let level = match options.log_level.as_str() {
        _ if options.debug => "debug",
        "fatal" => "error",
        level => level,
    };
    let filter = EnvFilter::new(format!("{level},h2=warn,hyper=warn,tonic=warn,tower=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
