//! Sandboxes on the real kernel: in a namespace of the test's own, as root; passed over otherwise.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use dhow_engine_api::endpoint::PortBinding;

use super::*;

/// Runs `work` on a thread that plays the host: its own network namespace, its own view of `/sys`.
fn on_a_host(work: impl FnOnce() + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let played = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a namespace");
        netlink::Socket::open(netlink::Family::Route)
            .and_then(|socket| socket.send(&[link::up(link::LOOPBACK)]))
            .expect("loopback");
        work();
    });
    played.join().expect("the test passes");
}

fn run(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().expect("sh");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct Stack {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    networks: Option<Networks>,
}

impl Stack {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let folder = tempfile::tempdir().expect("a folder");
        let mut stack = Self { runtime: runtime.expect("a runtime"), folder, networks: None };
        stack.restart();
        stack
    }

    /// What kill -9 and a new start do: nothing is closed, everything is read again.
    fn restart(&mut self) {
        drop(self.networks.take());
        let settings = Settings {
            data: self.folder.path().join("data"),
            state: self.folder.path().join("state"),
            bridge: "dhowt0".into(),
            bip: None,
        };
        let _entered = self.runtime.enter();
        self.networks = Some(Networks::open(settings).expect("opens"));
    }

    fn networks(&self) -> &Networks {
        self.networks.as_ref().expect("open")
    }

    fn allocate(&self, id: &str, change: impl FnOnce(&mut SandboxRequest)) -> Result<Sandbox, NetworkError> {
        let mut request = SandboxRequest { container: id.repeat(64), name: id.into(), ..Default::default() };
        change(&mut request);
        self.runtime.block_on(self.networks().allocate(request))
    }

    /// Releases, and waits until nothing is left.
    fn release(&self, id: &str) {
        self.runtime.block_on(self.networks().release(&id.repeat(64))).expect("releases");
        let inner = &self.networks().0;
        let mut state = inner.state();
        while !state.leaving.is_empty() {
            state = inner.left.wait(state).expect("not poisoned");
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Pins outlive the test's namespace; they would keep the folder busy.
        for entry in std::fs::read_dir(self.folder.path().join("state/netns")).into_iter().flatten().flatten()
        {
            drop(namespace::unpin(&entry.path()));
        }
    }
}

fn inside(sandbox: &Sandbox, command: &str) -> String {
    let path = sandbox.netns.as_ref().expect("a namespace").display();
    run(&format!("nsenter --net={path} sh -c '{command}'"))
}

#[test]
fn a_container_on_the_bridge_has_an_address_and_a_way_out() {
    on_a_host(|| {
        let stack = Stack::new();
        let first = stack.allocate("a", |_| {}).expect("allocates");
        let second = stack.allocate("b", |_| {}).expect("allocates");
        let endpoint = &first.endpoints["bridge"];
        assert_eq!((endpoint.ip_address.as_str(), endpoint.gateway.as_str()), ("172.17.0.2", "172.17.0.1"));
        assert_eq!(endpoint.mac_address, "02:42:ac:11:00:02");
        assert_eq!(second.endpoints["bridge"].ip_address, "172.17.0.3");
        let seen = inside(
            &first,
            "ip -o addr; ip route; busybox ping -c1 -W2 172.17.0.1; busybox ping -c1 -W2 172.17.0.3",
        );
        assert!(seen.contains("172.17.0.2/16 brd 172.17.255.255"), "{seen}");
        assert!(seen.contains("default via 172.17.0.1 dev eth0"), "{seen}");
        assert_eq!(seen.matches(" 0% packet loss").count(), 2, "{seen}");
        stack.release("a");
        assert_eq!(
            stack.allocate("c", |_| {}).expect("allocates").endpoints["bridge"].ip_address,
            "172.17.0.2"
        );
        ["b", "c"].into_iter().for_each(|id| stack.release(id));
        stack.runtime.block_on(stack.networks().close()).expect("closes");
        let left = run("ip -o link; nft list tables");
        assert!(!left.contains("dhowt0"), "{left}");
    });
}

#[test]
fn host_and_none_and_a_shared_namespace() {
    on_a_host(|| {
        let stack = Stack::new();
        let host = stack.allocate("a", |request| request.mode = "host".into()).expect("allocates");
        assert_eq!(host.netns, None);
        let none = stack.allocate("b", |request| request.mode = "none".into()).expect("allocates");
        assert_eq!(
            inside(&none, "ip -o link | wc -l; cat /sys/class/net/lo/operstate 2>&1 | head -0").trim(),
            "1"
        );
        let guest = stack.allocate("c", |request| request.mode = format!("container:{}", "b".repeat(64)));
        assert_eq!(guest.expect("joins").netns, none.netns);
        let missing = stack.allocate("d", |request| request.mode = "container:nobody".into());
        assert!(matches!(missing, Err(NetworkError::NotRunning(_))));
        ["a", "b", "c"].into_iter().for_each(|id| stack.release(id));
        assert!(!run("ip -o link").contains("dhowt0"), "no bridge that nobody needs");
    });
}

/// A container that answers on port 80 with what it was asked.
fn echo_inside(sandbox: &Sandbox) -> std::thread::JoinHandle<()> {
    let path = sandbox.netns.clone().expect("a namespace");
    let (ready, wait) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let listener =
            namespace::Namespace::inside(&path, || TcpListener::bind("0.0.0.0:80")).expect("enters");
        let listener = listener.expect("listens");
        ready.send(()).expect("somebody waits");
        for connection in listener.incoming().take(4) {
            let mut connection = connection.expect("a connection");
            let mut byte = [0];
            connection.read_exact(&mut byte).expect("a byte");
            let peer = connection.peer_addr().expect("a peer").to_string();
            connection.write_all(peer.as_bytes()).expect("an answer");
        }
    });
    wait.recv().expect("the server is up");
    server
}

fn ask(address: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    connection.write_all(b"x").expect("a byte");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_published_port_is_reached_from_everywhere_and_survives_a_restart() {
    on_a_host(|| {
        let mut stack = Stack::new();
        let binding = PortBinding { host_ip: String::new(), host_port: "8080".into() };
        let bindings: dhow_engine_api::endpoint::PortMap =
            [("80/tcp".to_owned(), Some(vec![binding]))].into();
        let web = stack.allocate("a", |request| request.bindings = bindings.clone()).expect("allocates");
        assert_eq!(web.ports["80/tcp"].as_ref().map(Vec::len), Some(2));
        let other = stack.allocate("b", |_| {}).expect("allocates");
        let again = stack.allocate("c", |request| request.bindings = bindings.clone()).expect_err("taken");
        let said = dhow_proto::error::chain(&again);
        assert!(said.ends_with("Bind for 0.0.0.0:8080 failed: port is already allocated"), "{said}");

        let server = echo_inside(&web);
        let rules = run("nft list table inet dhow-dhowt0");
        assert!(rules.contains("tcp . 8080 : 172.17.0.2 . 80"), "{rules}");
        assert!(ask("127.0.0.1:8080").starts_with("172.17.0.1:"), "localhost, by the firewall");
        assert!(ask("[::1]:8080").starts_with("172.17.0.1:"), "IPv6, by the proxy");
        let path = other.netns.clone().expect("a namespace");
        let neighbour = namespace::Namespace::inside(&path, || ask("172.17.0.1:8080")).expect("enters");
        assert!(neighbour.starts_with("172.17.0.1:"), "a neighbour by the host's address: {neighbour}");

        stack.restart();
        let running = ["a".repeat(64)].into();
        stack.runtime.block_on(stack.networks().recover(running)).expect("recovers");
        assert!(stack.networks().sandbox(&"b".repeat(64)).is_none(), "b does not run");
        assert_eq!(run("ip -o link show master dhowt0 | wc -l").trim(), "1", "b's link is gone, a's is not");
        assert!(ask("127.0.0.1:8080").starts_with("172.17.0.1:"));
        server.join().expect("the server ends");
        stack.release("a");
        assert!(TcpStream::connect("127.0.0.1:8080").is_err());
    });
}

#[test]
fn what_no_record_names_is_swept() {
    on_a_host(|| {
        let mut stack = Stack::new();
        stack.allocate("a", |_| {}).expect("allocates");
        let records = stack.folder.path().join("state/network");
        std::fs::remove_dir_all(&records).expect("records");
        stack.restart();
        stack.runtime.block_on(stack.networks().recover(HashSet::new())).expect("recovers");
        assert_eq!(run("ip -o link show master dhowt0 | wc -l").trim(), "0");
        let netns = stack.folder.path().join("state/netns");
        assert_eq!(std::fs::read_dir(netns).expect("a folder").count(), 0);
    });
}

#[test]
fn names_resolve_in_a_network_of_users() {
    on_a_host(|| {
        let mut stack = Stack::new();
        let wanted = dhow_engine_api::network::NetworkCreate { name: "net".into(), ..Default::default() };
        stack.runtime.block_on(stack.networks().create(wanted)).expect("makes");
        let in_net = |request: &mut SandboxRequest| request.mode = "net".into();
        let web = stack.allocate("a", in_net).expect("allocates");
        let db = stack
            .allocate("b", |request| {
                in_net(request);
                let aliases = Some(vec!["db".to_owned()]);
                let settings = dhow_engine_api::endpoint::EndpointSettings { aliases, ..Default::default() };
                request.endpoints.insert("net".into(), settings);
            })
            .expect("allocates");
        assert_eq!(db.endpoints["net"].ip_address, "172.18.0.3");
        for name in ["b", "db", "DB.net", &"b".repeat(12)] {
            let answer = inside(&web, &format!("busybox nslookup {name} 127.0.0.11"));
            assert!(answer.contains("172.18.0.3"), "{name}: {answer}");
        }
        assert!(inside(&web, "busybox nslookup 172.18.0.3 127.0.0.11").contains("b.net"));

        stack.restart();
        let running = ["a".repeat(64), "b".repeat(64)].into();
        stack.runtime.block_on(stack.networks().recover(running)).expect("recovers");
        assert!(inside(&web, "busybox nslookup db 127.0.0.11").contains("172.18.0.3"), "after a restart");
        ["a", "b"].into_iter().for_each(|id| stack.release(id));
        stack.runtime.block_on(stack.networks().remove("net")).expect("removes");
        assert!(!run("ip -o link").contains("br-"));
    });
}

#[test]
fn a_running_container_joins_and_leaves() {
    on_a_host(|| {
        let stack = Stack::new();
        let wanted = dhow_engine_api::network::NetworkCreate {
            name: "inner".into(),
            internal: true,
            ..Default::default()
        };
        stack.runtime.block_on(stack.networks().create(wanted)).expect("makes");
        let first = stack.allocate("a", |request| request.mode = "inner".into()).expect("allocates");
        assert_eq!(first.endpoints["inner"].gateway, "", "no way out");
        assert!(!inside(&first, "ip route").contains("default"));
        let request = SandboxRequest { container: "a".repeat(64), name: "a".into(), ..Default::default() };
        let joined = stack.networks().connect("bridge", request.clone(), Default::default());
        let joined = stack.runtime.block_on(joined).expect("joins");
        assert_eq!(joined.endpoints.len(), 2);
        let seen = inside(&first, "ip -o -4 addr; ip route");
        assert!(seen.contains("eth1") && seen.contains("default via 172.17.0.1 dev eth1"), "{seen}");
        let again = stack.networks().connect("bridge", request, Default::default());
        assert!(stack.runtime.block_on(again).is_err());
        let used = stack.runtime.block_on(stack.networks().remove("inner")).expect_err("in use");
        assert!(used.to_string().contains("has active endpoints"));
        stack.runtime.block_on(stack.networks().disconnect("bridge", &"a".repeat(64))).expect("leaves");
        assert!(!inside(&first, "ip -o link").contains("eth1"));
        stack.release("a");
    });
}
