//! No network, the default bridge, published ports; and nothing left on the host.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use dhow_integration_tests::process::{call, eventually};
use dhow_integration_tests::stack::Stack;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.contains("from inside").then_some(answer)
}

#[test]
fn none_is_only_a_loopback() {
    let stack = Stack::with_busybox();
    let links = stack.dhow(&["run", "--rm", "--network", "none", "busybox", "ip", "-o", "link"]).ok();
    assert_eq!(links.lines().count(), 1, "{links}");
}

#[test]
fn the_bridge_connects_containers_and_the_host() {
    let stack = Stack::with_busybox();
    let page = "mkdir /www; echo from inside > /www/index.html; exec httpd -f -p 80 -h /www";
    stack.dhow(&["run", "-d", "--name", "web", "busybox", "sh", "-c", page]).ok();
    let address = stack.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}");
    assert!(address.starts_with("172.") || address.starts_with("192.168."), "{address}");
    eventually("a second container reaches the first", || {
        let url = format!("http://{address}/");
        stack.dhow(&["run", "--rm", "busybox", "wget", "-qO-", &url]).stdout == "from inside\n"
    });
    let gateway = stack.dhow(&["exec", "web", "ip", "route"]).ok();
    assert!(gateway.contains("default via"), "{gateway}");
    let rules = call("nft", &["list", "ruleset"]).ok();
    assert!(rules.contains("masquerade"), "{rules}");
    let resolv = stack.dhow(&["exec", "web", "cat", "/etc/resolv.conf", "/etc/hosts"]).ok();
    assert!(resolv.contains("nameserver") && resolv.contains(&address), "{resolv}");
}

#[test]
fn a_published_port_answers_on_the_host_and_is_free_afterwards() {
    let stack = Stack::with_busybox();
    let port = free_port();
    let page = "mkdir /www; echo from inside > /www/index.html; exec httpd -f -p 80 -h /www";
    let publish = format!("{port}:80");
    stack.dhow(&["run", "-d", "--name", "web", "-p", &publish, "busybox", "sh", "-c", page]).ok();
    eventually("the page is served on loopback", || get(port).is_some());
    assert!(stack.dhow(&["ps"]).ok().contains(&format!("0.0.0.0:{port}->80/tcp")));
    let refused = stack.dhow(&["run", "--rm", "-p", &publish, "busybox", "true"]).exits(125);
    assert!(refused.stderr.contains("port is already allocated"), "{}", refused.stderr);
    stack.dhow(&["rm", "-f", "web"]).ok();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    stack.dhow(&["run", "--rm", "-p", &publish, "busybox", "true"]).ok();
}

#[test]
fn a_random_port_is_found_and_shown() {
    let stack = Stack::with_busybox();
    let page = "mkdir /www; echo from inside > /www/index.html; exec httpd -f -p 80 -h /www";
    stack.dhow(&["run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sh", "-c", page]).ok();
    let template = "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}";
    let port = stack.inspect("web", template).parse().expect("a port");
    eventually("the page is served", || get(port).is_some());
}
