//! The rules in a kernel of their own namespace.

use super::*;

#[test]
fn keys_lie_as_registers_do() {
    let firewall = Firewall::new("x0");
    let publication = Publication {
        protocol: Protocol::Tcp,
        host: "127.0.0.1:8080".parse().expect("an address"),
        container: "172.17.0.2:80".parse().expect("an address"),
    };
    let mut bytes = Vec::new();
    let message = firewall.publication(NEWSETELEM, &publication).expect("an element");
    message.finish(1, &mut bytes);
    let key = [127, 0, 0, 1, 6, 0, 0, 0, 0x1f, 0x90, 0, 0];
    let value = [172, 17, 0, 2, 0, 80, 0, 0];
    assert!(bytes.windows(key.len()).any(|window| window == key));
    assert!(bytes.windows(value.len()).any(|window| window == value));
}

#[test]
fn families_do_not_mix() {
    let publication = Publication {
        protocol: Protocol::Udp,
        host: "[::]:53".parse().expect("an address"),
        container: "172.17.0.2:53".parse().expect("an address"),
    };
    assert!(Firewall::new("x0").publication(NEWSETELEM, &publication).is_none());
}
