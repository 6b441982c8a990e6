//! The way to a published port for whatever the firewall did not catch: connections are passed on by hand.
//!
//! Runs as long as the daemon does; the firewall's way needs nobody.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, UdpSocket as StdUdp};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use super::firewall::Protocol;
use super::publish::Held;

/// How long a UDP client may be silent before its way back is forgotten.
const IDLE: Duration = Duration::from_secs(90);
/// How many UDP clients one port remembers.
const CLIENTS: usize = 1024;
const DATAGRAM: usize = 65535;
const RETRY: Duration = Duration::from_millis(100);

/// A port that is held and served; ends when dropped.
#[derive(Debug)]
pub(super) struct Proxy(Option<AbortHandle>);

impl Proxy {
    /// Serves a held port.
    pub(super) fn start(held: Held, runtime: &Handle) -> Self {
        let target = held.record.container;
        let protocol = held.record.protocol;
        let task = held.socket.map(|socket| {
            runtime
                .spawn(async move {
                    let served = match protocol {
                        Protocol::Tcp => tcp(socket, target).await,
                        _ => udp(socket, target).await,
                    };
                    if let Err(error) = served {
                        tracing::warn!(%target, %error, "a published port is only served by the firewall");
                    }
                })
                .abort_handle()
        });
        Self(task)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

async fn tcp(socket: OwnedFd, target: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::from_std(StdListener::from(socket))?;
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => drop(connections.spawn(pass(client, target))),
            // Out of descriptors: what is open goes on, and the next try may find one.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Passes bytes both ways until both sides ended. A failure closes both: that is all the two ends can be told.
async fn pass(mut client: TcpStream, target: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    }
}

async fn udp(socket: OwnedFd, target: SocketAddr) -> io::Result<()> {
    let socket = Arc::new(UdpSocket::from_std(StdUdp::from(socket))?);
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)> = HashMap::new();
    let mut ways_back = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        while ways_back.try_join_next().is_some() {}
        clients.retain(|_, (_, way_back)| !way_back.is_finished());
        if clients.len() >= CLIENTS && !clients.contains_key(&client) {
            continue;
        }
        if let std::collections::hash_map::Entry::Vacant(place) = clients.entry(client) {
            let local: SocketAddr =
                if target.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
            let server = Arc::new(UdpSocket::bind(local).await?);
            server.connect(target).await?;
            let way_back = ways_back.spawn(answers(Arc::clone(&server), Arc::clone(&socket), client));
            place.insert((server, way_back));
        }
        if let Some((server, _)) = clients.get(&client) {
            // A container that does not listen yet answers with an error; the client will ask again.
            drop(server.send(&buffer[..length]).await);
        }
    }
}

async fn answers(server: Arc<UdpSocket>, socket: Arc<UdpSocket>, client: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM];
    while let Ok(received) = tokio::time::timeout(IDLE, server.recv(&mut buffer)).await {
        match received {
            Ok(length) => drop(socket.send_to(&buffer[..length], client).await),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return,
        }
    }
}
