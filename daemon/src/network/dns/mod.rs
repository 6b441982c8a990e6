//! The resolver of user-defined networks: names of containers, and for the rest the host's name servers.
//!
//! It listens inside each container's namespace, on 127.0.0.11 and ports of the kernel's choice; a rule inside sends
//! port 53 of that address there, so that the container may serve port 53 itself. Questions to other servers leave
//! from the host, which also reaches servers on its own loopback. While no daemon runs nothing resolves; the next one
//! takes the namespaces up again.

mod message;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener, UdpSocket as StdUdp};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};

use self::message::{Code, Question, Subject};
use super::State;
use super::error::NetworkError;
use super::firewall;
use super::namespace::Namespace;
use super::record::{EndpointRecord, SandboxRecord};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const PORT: u16 = 53;
/// How long one server may think.
const PATIENCE: Duration = Duration::from_secs(4);
/// The largest message over UDP that is passed on.
const LIMIT: usize = 4096;
/// How many questions of one container may be open.
const OPEN: usize = 256;

/// The resolver of one container; ends when dropped.
#[derive(Debug)]
pub(super) struct Resolver([AbortHandle; 2]);

impl Resolver {
    /// Listens in the namespace at `netns`.
    pub(super) fn start(
        container: &str,
        netns: &Path,
        state: Arc<Mutex<State>>,
        runtime: &Handle,
    ) -> Result<Self, NetworkError> {
        let sockets = Namespace::inside(netns, listen)?;
        let (udp, tcp) =
            sockets.map_err(|error| NetworkError::Refused(format!("listen for names: {error}")))?;
        let answerer = Arc::new(Answerer { container: container.to_owned(), state });
        let udp = runtime.spawn(serve_udp(udp, Arc::clone(&answerer))).abort_handle();
        let tcp = runtime.spawn(serve_tcp(tcp, answerer)).abort_handle();
        Ok(Self([udp, tcp]))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Opens the sockets, and the rule that leads to them: runs inside.
fn listen() -> Result<(StdUdp, StdListener), io::Error> {
    let any = SocketAddr::from((ADDRESS, 0));
    let (udp, tcp) = (StdUdp::bind(any)?, StdListener::bind(any)?);
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    firewall::redirect(ADDRESS, PORT, udp.local_addr()?.port(), tcp.local_addr()?.port())
        .map_err(|error| error.source)?;
    Ok((udp, tcp))
}

async fn serve_udp(socket: StdUdp, answerer: Arc<Answerer>) {
    let Ok(socket) = UdpSocket::from_std(socket) else { return };
    let socket = Arc::new(socket);
    let open = Arc::new(Semaphore::new(OPEN));
    let mut questions = JoinSet::new();
    let mut buffer = vec![0; LIMIT];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        while questions.try_join_next().is_some() {}
        // Above the limit a question is lost, and will be asked again.
        let Ok(permit) = Arc::clone(&open).try_acquire_owned() else { continue };
        let (message, socket, answerer) =
            (buffer[..length].to_vec(), Arc::clone(&socket), Arc::clone(&answerer));
        questions.spawn(async move {
            if let Some(answer) = answerer.answer(&message, false).await {
                drop(socket.send_to(&answer, client).await);
            }
            drop(permit);
        });
    }
}

async fn serve_tcp(listener: StdListener, answerer: Arc<Answerer>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let open = Arc::new(Semaphore::new(OPEN));
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&open).try_acquire_owned() else { continue };
        let answerer = Arc::clone(&answerer);
        connections.spawn(async move {
            drop(tokio::time::timeout(PATIENCE * 4, converse(client, &answerer)).await);
            drop(permit);
        });
    }
}

async fn converse(mut client: TcpStream, answerer: &Answerer) -> io::Result<()> {
    loop {
        let question = framed(&mut client).await?;
        let Some(answer) = answerer.answer(&question, true).await else { return Ok(()) };
        send_framed(&mut client, &answer).await?;
    }
}

/// A message over TCP has its length before it.
async fn framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn send_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// Who answers for one container.
#[derive(Debug)]
struct Answerer {
    container: String,
    state: Arc<Mutex<State>>,
}

impl Answerer {
    /// The answer to a message; none for what is no question.
    async fn answer(&self, message: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let question = Question::parse(message)?;
        let servers = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let own = state.sandboxes.get(&self.container)?;
            if let Some(answer) = local(&state, own, &question) {
                return Some(answer);
            }
            upstream(&state, own)
        };
        for server in servers {
            let server = SocketAddr::new(server, PORT);
            let asked =
                async { if tcp { ask_tcp(server, message).await } else { ask_udp(server, message).await } };
            if let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, asked).await {
                return Some(answer);
            }
        }
        Some(question.nothing(Code::Failure))
    }
}

/// What this daemon knows by itself; `None` when others must be asked.
fn local(state: &State, own: &SandboxRecord, question: &Question) -> Option<Vec<u8>> {
    match &question.subject {
        Subject::V4(name) | Subject::V6(name) => {
            let found: Vec<IpAddr> = neighbours(state, own)
                .filter(|(record, endpoint)| answers_to(own, record, endpoint, name))
                .flat_map(|(_, endpoint)| [endpoint.ipv4, endpoint.ipv6])
                .flatten()
                .map(|net| net.addr())
                .collect();
            if found.is_empty() { None } else { Some(question.addresses(&found)) }
        }
        Subject::Name(address) => {
            let (record, endpoint) = neighbours(state, own).find(|(_, endpoint)| {
                [endpoint.ipv4, endpoint.ipv6].into_iter().flatten().any(|net| net.addr() == *address)
            })?;
            Some(question.name(&format!("{}.{}", record.name, endpoint.network_name)))
        }
        Subject::Other(name) => {
            let known =
                neighbours(state, own).any(|(record, endpoint)| answers_to(own, record, endpoint, name));
            known.then(|| question.nothing(Code::NoData))
        }
    }
}

/// The endpoints, its own too, of the user-defined networks that a container is in.
fn neighbours<'a>(
    state: &'a State,
    own: &'a SandboxRecord,
) -> impl Iterator<Item = (&'a SandboxRecord, &'a EndpointRecord)> {
    let all = state.sandboxes.values();
    all.flat_map(|record| record.endpoints.iter().map(move |endpoint| (record, endpoint))).filter(
        |(_, endpoint)| {
            let together = own.endpoints.iter().any(|mine| mine.network == endpoint.network);
            together && !endpoint.names.is_empty()
        },
    )
}

/// Whether `name` is one of an endpoint's, with or without its network's; or a link of the asking container.
fn answers_to(own: &SandboxRecord, record: &SandboxRecord, endpoint: &EndpointRecord, name: &str) -> bool {
    let bare = name.strip_suffix(&format!(".{}", endpoint.network_name.to_lowercase())).unwrap_or(name);
    let named = endpoint
        .names
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(bare));
    let links =
        own.endpoints.iter().filter(|mine| mine.network == endpoint.network).flat_map(|mine| &mine.links);
    let linked = links.filter_map(|link| link.split_once(':')).any(|(target, alias)| {
        alias.eq_ignore_ascii_case(name)
            && (target.trim_start_matches('/') == record.name || record.container.starts_with(target))
    });
    named || linked
}

/// The servers that answer for the rest: none for a container that only internal networks hold.
fn upstream(state: &State, own: &SandboxRecord) -> Vec<IpAddr> {
    let internal = own.endpoints.iter().all(|endpoint| {
        state.networks.iter().any(|network| network.id == endpoint.network && network.internal)
    });
    match (internal, own.upstream.as_slice()) {
        (true, _) => Vec::new(),
        (false, []) => super::bridge::name_servers(),
        (false, said) => said.to_vec(),
    }
}

async fn ask_udp(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; LIMIT];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Only the answer to this question, whoever else sends here.
        if length >= 2 && buffer[..2] == message[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    send_framed(&mut stream, message).await?;
    framed(&mut stream).await
}
