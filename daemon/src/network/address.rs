//! Addresses: which subnet a network gets, and which address an endpoint gets in it. Pure.
//!
//! What is taken is derived from the records of sandboxes: there is no second list that could disagree with them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

/// A subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subnet {
    /// All of it.
    pub(super) net: IpNet,
    /// The part that addresses are given out of.
    pub(super) range: IpNet,
    /// The bridge's own address.
    pub(super) gateway: IpAddr,
}

/// Why there is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum AddressError {
    /// All pools overlap with routes or networks.
    #[error("all predefined address pools have been fully subnetted")]
    NoSubnet,
    /// Every address of the range is taken.
    #[error("no available IPv4 addresses on this network's address pools: {0}")]
    Full(String),
    /// The wanted address is taken.
    #[error("Address already in use")]
    InUse,
    /// The wanted address is not in the subnet.
    #[error("invalid IPv4 address {address}: not within subnet {subnet}")]
    Outside {
        /// What was asked for.
        address: IpAddr,
        /// Where it should have been.
        subnet: IpNet,
    },
}

/// Docker's default pools: 172.17 to 172.31 as /16, then 192.168.0.0/16 in pieces of /20.
pub(super) fn pools() -> impl Iterator<Item = Ipv4Net> {
    let large = (17..=31).map(|second| Ipv4Addr::new(172, second, 0, 0)).map(|start| (start, 16));
    let small = (0..16).map(|third| Ipv4Addr::new(192, 168, third * 16, 0)).map(|start| (start, 20));
    large.chain(small).filter_map(|(start, length)| Ipv4Net::new(start, length).ok())
}

/// The first pool that nothing in `used` overlaps.
pub(super) fn free_pool(used: &[IpNet]) -> Result<Ipv4Net, AddressError> {
    pools().find(|pool| !overlaps(IpNet::V4(*pool), used)).ok_or(AddressError::NoSubnet)
}

/// Whether `net` has addresses in common with any of `used`.
pub(super) fn overlaps(net: IpNet, used: &[IpNet]) -> bool {
    used.iter().any(|other| other.contains(&net) || net.contains(other))
}

/// The first address of a subnet: the gateway's, when nothing else is said.
pub(super) fn first_host(net: IpNet) -> IpAddr {
    match net {
        IpNet::V4(net) => Ipv4Addr::from(u32::from(net.network()).saturating_add(1)).into(),
        IpNet::V6(net) => std::net::Ipv6Addr::from(u128::from(net.network()).saturating_add(1)).into(),
    }
}

impl Subnet {
    /// The lowest free address of the range.
    pub(super) fn allocate(&self, taken: &BTreeSet<IpAddr>) -> Result<IpAddr, AddressError> {
        let free = |address: &IpAddr| *address != self.gateway && !taken.contains(address);
        let found = match (self.range, self.net) {
            (IpNet::V4(range), IpNet::V4(net)) => (u32::from(range.network())..=u32::from(range.broadcast()))
                .map(Ipv4Addr::from)
                .filter(|address| usable(*address, net))
                .map(IpAddr::V4)
                .find(free),
            (IpNet::V6(range), _) => {
                let start = u128::from(range.network());
                // As many candidates as there are taken addresses, and then some, always hold a free one.
                (start + 1..=u128::from(range.broadcast()))
                    .take(taken.len() + 2)
                    .map(|bits| IpAddr::V6(bits.into()))
                    .find(free)
            }
            _ => None,
        };
        found.ok_or_else(|| AddressError::Full(self.net.to_string()))
    }

    /// The address that was asked for, when it can be had.
    pub(super) fn claim(&self, address: IpAddr, taken: &BTreeSet<IpAddr>) -> Result<IpAddr, AddressError> {
        if !self.net.contains(&address) {
            return Err(AddressError::Outside { address, subnet: self.net });
        }
        if address == self.gateway || taken.contains(&address) {
            return Err(AddressError::InUse);
        }
        Ok(address)
    }

    /// `address` with this subnet's prefix.
    pub(super) fn with_prefix(&self, address: IpAddr) -> IpNet {
        IpNet::new(address, self.net.prefix_len()).unwrap_or_else(|_| address.into())
    }
}

/// Neither the network's own address nor its broadcast, where a subnet has those.
fn usable(address: Ipv4Addr, net: Ipv4Net) -> bool {
    net.prefix_len() >= 31 || (address != net.network() && address != net.broadcast())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> Subnet {
        let net: IpNet = text.parse().expect("a subnet");
        Subnet { net, range: net, gateway: first_host(net) }
    }

    #[test]
    fn pools_are_docker_s_and_skip_what_is_routed() {
        let all: Vec<_> = pools().map(|pool| pool.to_string()).collect();
        assert_eq!(
            (all.len(), &*all[0], &*all[14], &*all[15]),
            (31, "172.17.0.0/16", "172.31.0.0/16", "192.168.0.0/20")
        );
        let used = ["172.17.5.0/24", "172.18.0.0/15"].map(|text| text.parse().expect("a net"));
        assert_eq!(free_pool(&used).expect("a pool").to_string(), "172.20.0.0/16");
        assert_eq!(
            free_pool(&["0.0.0.0/1", "128.0.0.0/1"].map(|net| net.parse().unwrap())),
            Err(AddressError::NoSubnet)
        );
    }

    #[test]
    fn a_small_subnet_fills_up() {
        let small = subnet("10.0.0.0/30");
        let mut taken = BTreeSet::new();
        assert_eq!(small.allocate(&taken).expect("free").to_string(), "10.0.0.2");
        taken.insert("10.0.0.2".parse().expect("an address"));
        assert!(matches!(small.allocate(&taken), Err(AddressError::Full(_))));
    }

    #[test]
    fn claims_are_judged() {
        let net = subnet("10.0.0.0/24");
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        let taken = BTreeSet::from([address("10.0.0.9")]);
        assert_eq!(net.claim(address("10.0.0.9"), &taken), Err(AddressError::InUse));
        assert_eq!(net.claim(address("10.0.0.1"), &taken), Err(AddressError::InUse));
        assert!(matches!(net.claim(address("10.0.1.9"), &taken), Err(AddressError::Outside { .. })));
        assert_eq!(net.claim(address("10.0.0.10"), &taken), Ok(address("10.0.0.10")));
    }

    proptest! {
        #[test]
        fn an_allocation_is_free_and_inside(taken in proptest::collection::btree_set(0u32..64, 0..40)) {
            let net = subnet("10.1.0.0/26");
            let taken: BTreeSet<IpAddr> =
                taken.into_iter().map(|low| IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + low))).collect();
            if let Ok(address) = net.allocate(&taken) {
                prop_assert!(net.net.contains(&address) && !taken.contains(&address) && address != net.gateway);
                prop_assert!(address.to_string() != "10.1.0.0" && address.to_string() != "10.1.0.63");
            }
        }
    }
}
