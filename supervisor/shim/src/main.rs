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
use options::Options;
use publisher::Publisher;
use reactor::{Reactor, Watched};
use reaper::Reaper;
use task::Shim;

/// musl's own gives a buffer of a few pages back to the kernel after each use: a third of the time of a busy log.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

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
        None => serve_socket(&options),
        Some(action) => bail!("unknown action {action:?}: start, delete, or none to serve"),
    }
}

/// What a serving process needs to know.
struct Service {
    id: String,
    namespace: String,
    debug: bool,
    /// Where the supervisor takes events.
    events: Option<PathBuf>,
    /// The socket that it serves, to remove at its end.
    socket: PathBuf,
    listener: OwnedFd,
}

/// Serves `socket`, as whoever debugs a shim asks for.
fn serve_socket(options: &Options) -> anyhow::Result<()> {
    let socket = options.socket.clone().context("no action: start, delete, or -socket to serve")?;
    serve(Service {
        id: options.id.clone(),
        namespace: options.namespace.clone(),
        debug: options.debug,
        events: events_address(None, &options.address),
        listener: socket::listen(&socket)?,
        socket,
    })
}

fn serve(service: Service) -> anyhow::Result<()> {
    let Service { id, namespace, debug, events, socket, listener } = service;
    journal::open(Path::new("log"), &id, debug);
    let reactor = Reactor::new().context("make event loop")?;
    let listener = Watched::new(&reactor, listener).context("watch socket")?;
    let reaper = Rc::new(Reaper::default());
    reaper.start(&reactor).context("become the reaper of the container")?;

    let publisher = Rc::new(Publisher::new(&namespace, events));
    reactor.spawn(Rc::clone(&publisher).deliver(reactor.clone()));
    let sockets = socket.parent().unwrap_or_else(|| Path::new("/run")).to_owned();
    let shim = Rc::new(Shim::new(&reactor, &reaper, &publisher, &namespace, sockets));
    reactor.spawn(server::accept(reactor.clone(), listener, Rc::clone(&shim)));
    let until_shutdown = async {
        shim.until_shutdown().await;
        // Before anything else: a newcomer of our group that still found it would be left alone with it.
        socket::remove(&socket);
        shim.deliver_the_rest().await;
    };
    reactor.run(until_shutdown).context("run event loop")
}

/// Where the supervisor at `address` takes events, unless it has given another address for them.
fn events_address(given: Option<PathBuf>, address: &str) -> Option<PathBuf> {
    let environment = || std::env::var_os("TTRPC_ADDRESS").filter(|path| !path.is_empty()).map(PathBuf::from);
    let beside = || (!address.is_empty()).then(|| PathBuf::from(format!("{address}.ttrpc")));
    given.or_else(environment).or_else(beside)
}
