//! The shim: one process per container that outlives everything above it.
//!
//! It mounts the rootfs, runs the OCI runtime, carries stdio, reaps, keeps exits on disk, and answers containerd's
//! Task service over ttrpc. One thread; see [`reactor`].

mod bootstrap;
mod cgroup;
mod clock;
mod console;
mod exit_record;
mod io;
mod journal;
mod oci_runtime;
mod options;
mod publisher;
mod reactor;
mod reaper;
mod rootfs;
mod server;
mod service;
mod socket;
mod task;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, bail};
use dhow_linux::file::read_limited;
use options::Options;
use publisher::Publisher;
use reactor::{Reactor, Watched};
use reaper::Reaper;
use task::Shim;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "io.containerd.dhow.v2: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    if options.version {
        let version = env!("CARGO_PKG_VERSION");
        return writeln!(std::io::stdout(), "containerd-shim-dhow-v2:\n  Version:  {version}")
            .context("print version");
    }
    if options.info {
        return bootstrap::info();
    }
    if options.namespace.is_empty() {
        bail!("shim namespace cannot be empty");
    }
    match options.action.as_deref() {
        Some("start") => bootstrap::start(&options),
        Some("delete") => bootstrap::delete(&options),
        None => serve(&options),
        Some(action) => bail!("unknown action {action:?}: start, delete, or none to serve"),
    }
}

fn serve(options: &Options) -> anyhow::Result<()> {
    journal::open(Path::new("log"), &options.id, options.debug);
    let reactor = Reactor::new().context("make event loop")?;
    let listener = listener(options)?;
    let listener = Watched::new(&reactor, listener).context("watch socket")?;
    let reaper = Rc::new(Reaper::default());
    reaper.start(&reactor).context("become the reaper of the container")?;

    let publisher = Rc::new(Publisher::new(&options.namespace, events_address(options)));
    reactor.spawn(Rc::clone(&publisher).deliver(reactor.clone()));
    let socket = own_socket(options);
    let sockets = socket.as_deref().and_then(Path::parent).unwrap_or_else(|| Path::new("/run")).to_owned();
    let shim = Rc::new(Shim::new(&reactor, &reaper, &publisher, &options.namespace, sockets));
    reactor.spawn(server::accept(reactor.clone(), listener, Rc::clone(&shim)));
    let until_shutdown = async {
        shim.until_shutdown().await;
        // Before anything else: a newcomer of our group that still found it would be left alone with it.
        if let Some(socket) = socket {
            socket::remove(&socket);
        }
        shim.deliver_the_rest().await;
    };
    reactor.run(until_shutdown).context("run event loop")
}

fn listener(options: &Options) -> anyhow::Result<OwnedFd> {
    match &options.socket {
        Some(path) => Ok(socket::listen(path)?),
        None => {
            dhow_linux::spawn::inherited(bootstrap::LISTENER).context("find the socket that start has made")
        }
    }
}

/// Where the supervisor takes events.
fn events_address(options: &Options) -> Option<PathBuf> {
    let given = std::env::var_os("TTRPC_ADDRESS").filter(|address| !address.is_empty()).map(PathBuf::from);
    given.or_else(|| {
        (!options.address.is_empty()).then(|| PathBuf::from(format!("{}.ttrpc", options.address)))
    })
}

/// The socket that this process serves, to remove at its end.
fn own_socket(options: &Options) -> Option<PathBuf> {
    options.socket.clone().or_else(|| {
        let address = read_limited(Path::new("address"), 4096).ok()?;
        let address = String::from_utf8(address).ok()?;
        address.trim().strip_prefix("unix://").map(PathBuf::from)
    })
}
