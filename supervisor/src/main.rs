//! `dhow-supervisor`: content, snapshots, images, containers and tasks behind containerd's API.
//!
//! This file wires; what happens is in the modules: [`supervisor`] opens the parts, [`server`] answers for them.

mod blocking;
mod checkpoint;
mod command;
mod config;
mod container;
mod content;
mod diff;
mod event;
mod extension;
mod fault;
mod filter;
mod gc;
mod identifier;
mod image;
mod label;
mod lease;
mod ledger;
mod metadata;
mod mount;
mod namespace;
mod options;
mod registry;
mod sandbox;
mod server;
mod slot;
mod snapshot;
mod supervisor;
mod task;
mod transfer;
mod ttrpc;
mod turn;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::Format;
use dhow_linux::allocator;
use options::{Level, Options};
use supervisor::Deps;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How often the metadata is copied aside.
const BACK_UP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long open requests may take after we were told to stop.
const GRACE: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let options = match Options::load() {
        Ok(options) => options,
        Err(error) => {
            log(Level::Info, Format::Text);
            tracing::error!("{}", dhow_proto::error::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    log(options.log_level, options.log_format);
    let serving = options.command.is_none();
    for key in options.unknown.iter().filter(|_| serving) {
        tracing::warn!(key, "the configuration has a key that means nothing here");
    }
    match command::run(&options).unwrap_or_else(|| serve(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs to stderr: our own words from `level` on, those of libraries only when someone must act or reads everything.
fn log(level: Level, format: Format) {
    let libraries = if level == Level::Trace { tracing::Level::TRACE } else { tracing::Level::WARN };
    let ours = tracing::Level::from(level);
    let targets =
        Targets::new().with_default(libraries.min(ours)).with_target(env!("CARGO_CRATE_NAME"), ours);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry();
    match format {
        Format::Text => registry.with(lines.with_filter(targets)).init(),
        Format::Json => registry.with(lines.json().flatten_event(true).with_filter(targets)).init(),
    }
}

fn serve(options: &Options) -> anyhow::Result<()> {
    allocator::share_arena();
    // Two threads answer, a few may block: each costs memory while it lives.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .thread_keep_alive(Duration::from_secs(2))
        // A thread ends when it had nothing to do for a while: the work is done, and has left much that is free.
        .on_thread_stop(allocator::give_back)
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    runtime.block_on(supervise(options))
}

async fn supervise(options: &Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    if let Some(score) = options.oom_score {
        adjust_oom_score(score);
    }
    let deps = Arc::new(Deps::open(options)?);
    server::check_plugins(&deps, &options.required_plugins, &options.disabled_plugins)?;
    deps.sweep().await;
    // Shims deliver from the moment that we listen; subscribers who come a little later hear it too.
    let recovery = deps.tasks.recovery();
    let events = server::listen(deps.tasks.ttrpc_address(), options.owners.ttrpc)?;
    let tasks = deps.tasks.clone();
    tokio::spawn(ttrpc::serve(events, move |envelope| tasks.forward(envelope)));
    tokio::join!(deps.controller.recover(), recovery.run());
    let listener = server::listen(&options.address, options.owners.grpc)?;
    tokio::spawn(back_up(deps.clone()));
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
    deps.back_up().await;
    deps.metadata.close().await;
    Ok(())
}

/// Makes the kernel spare us, or not, when memory runs out.
fn adjust_oom_score(score: i16) {
    let path = "/proc/self/oom_score_adj";
    if let Err(error) = std::fs::write(path, score.to_string()) {
        tracing::warn!(score, %error, "cannot set the OOM score that the configuration asks for");
    }
}

/// Copies the metadata aside now and then, for `repair`.
async fn back_up(deps: Arc<Deps>) {
    let mut ticks = tokio::time::interval(BACK_UP_EVERY);
    loop {
        ticks.tick().await;
        deps.back_up().await;
    }
}
