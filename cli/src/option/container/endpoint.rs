//! `--network` together with the older flags that speak of the first network.

use std::collections::BTreeMap;

use dhow_engine_api::endpoint::EndpointSettings;

use super::ContainerOptions;
use crate::option::network::{Attachment, is_user_defined, mac};

type Endpoints = BTreeMap<String, Option<EndpointSettings>>;

/// The endpoints to be made with the container.
pub(super) fn endpoints(options: &ContainerOptions) -> Result<Endpoints, String> {
    let mut endpoints = Endpoints::new();
    if options.network.is_empty() {
        let mut attachment = Attachment { target: "default".into(), ..Attachment::default() };
        apply(&mut attachment, options)?;
        endpoints.insert("default".into(), Some(attachment.settings()?));
        return Ok(endpoints);
    }
    for (index, attachment) in options.network.iter().enumerate() {
        let mut attachment = attachment.clone();
        if index == 0 {
            apply(&mut attachment, options)?;
        }
        let settings = attachment.settings()?;
        if endpoints.contains_key(&attachment.target) {
            return Err(format!("network \"{}\" is specified multiple times", attachment.target));
        }
        // Old daemons know a single plain network by its mode alone.
        if options.network.len() == 1 && settings == EndpointSettings::default() {
            continue;
        }
        endpoints.insert(attachment.target, Some(settings));
    }
    let user_defined = options.network.iter().filter(|one| is_user_defined(&one.target)).count();
    if user_defined > 0 && user_defined < options.network.len() {
        return Err(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes".into(),
        );
    }
    Ok(endpoints)
}

fn apply(attachment: &mut Attachment, options: &ContainerOptions) -> Result<(), String> {
    let ContainerOptions { network_alias, link, ip, ip6, mac_address, link_local_ip, .. } = options;
    for (twice, what) in [
        (
            !attachment.aliases.is_empty() && !network_alias.is_empty(),
            "--network-alias and per-network alias",
        ),
        (!attachment.links.is_empty() && !link.is_empty(), "--link and per-network links"),
        (!attachment.ipv4.is_empty() && ip.is_some(), "--ip and per-network IPv4 address"),
        (!attachment.ipv6.is_empty() && ip6.is_some(), "--ip6 and per-network IPv6 address"),
        (
            !attachment.mac_address.is_empty() && !mac_address.is_empty(),
            "--mac-address and per-network MAC address",
        ),
        (
            !attachment.link_local.is_empty() && !link_local_ip.is_empty(),
            "--link-local-ip and per-network link-local IP addresses",
        ),
    ] {
        if twice {
            return Err(format!("conflicting options: cannot specify both {what}"));
        }
    }
    attachment.aliases.extend(network_alias.iter().cloned());
    // In a network of the user a link is an alias; on the default bridge it is a link of old.
    if is_user_defined(&attachment.target) {
        attachment.links.extend(link.iter().cloned());
    }
    if let Some(ip) = ip {
        attachment.ipv4.clone_from(ip);
    }
    if let Some(ip6) = ip6 {
        attachment.ipv6.clone_from(ip6);
    }
    if !mac_address.is_empty() {
        attachment.mac_address = mac(mac_address)?;
    }
    attachment.link_local.extend(link_local_ip.iter().cloned());
    Ok(())
}
