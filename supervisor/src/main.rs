//! `dhow-supervisor`: content, snapshots, images, containers and tasks behind containerd's API.
//!
//! This file wires; what happens is in the modules: [`supervisor`] opens the parts, [`server`] answers for them.

#![allow(dead_code, unused_imports, reason = "the services that use the rest are not wired yet")]

mod blocking;
mod container;
mod content;
mod diff;
mod event;
mod fault;
mod filter;
mod gc;
mod identifier;
mod image;
mod label;
mod lease;
mod metadata;
mod namespace;
mod options;
mod registry;
mod server;
mod snapshot;
mod supervisor;
mod task;
mod transfer;
mod ttrpc;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use options::Options;
use supervisor::Deps;
use tokio::signal::unix::{SignalKind, signal};

/// How long open requests may take after we were told to stop.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::from(options.log_level))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    // Two threads answer, a few may block: each costs memory while it lives.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    runtime.block_on(supervise(options))
}

async fn supervise(options: &Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let deps = Arc::new(Deps::open(options)?);
    deps.sweep().await;
    // Shims deliver from the moment that we listen; subscribers who come a little later hear it too.
    let recovery = deps.tasks.recovery();
    let events = server::listen(deps.tasks.ttrpc_address())?;
    let tasks = deps.tasks.clone();
    tokio::spawn(ttrpc::serve(events, move |envelope| tasks.forward(envelope)));
    recovery.run().await;
    let listener = server::listen(&options.address)?;
    tracing::info!(address = %options.address.display(), root = %deps.root.display(), "serving");
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut stopped = stopping.clone();
    let stopped = async move { drop(stopped.wait_for(|stop| *stop).await) };
    let told = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; containers go on");
        stop.send_replace(true);
        // Streams such as event subscriptions never end by themselves.
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = server::serve(&deps, listener, stopped) => served.context("serve gRPC")?,
        () = told => {}
    }
    drop(std::fs::remove_file(&options.address));
    drop(std::fs::remove_file(deps.tasks.ttrpc_address()));
    deps.metadata.close().await;
    Ok(())
}
