//! `--network NAME` and `--network name=NAME,alias=…,ip=…`

use std::collections::BTreeMap;
use std::net::IpAddr;

use dhow_engine_api::endpoint::{EndpointIpamConfig, EndpointSettings};

use super::csv;

/// One network to be joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attachment {
    pub(crate) target: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) driver_opts: BTreeMap<String, String>,
    pub(crate) links: Vec<String>,
    pub(crate) ipv4: String,
    pub(crate) ipv6: String,
    pub(crate) link_local: Vec<String>,
    pub(crate) mac_address: String,
    pub(crate) gw_priority: i64,
}

/// Reads one `--network`.
pub(crate) fn parse(text: &str) -> Result<Attachment, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let long =
        text.match_indices('=').any(|(at, _)| text[..at].ends_with(word) && text[at + 1..].starts_with(word));
    if !long {
        return Ok(Attachment { target: text.to_owned(), ..Attachment::default() });
    }
    let mut attachment = Attachment::default();
    for field in csv::fields(text)? {
        let lower = field.to_lowercase();
        let (key, value) = match lower.split_once('=') {
            Some((key, value)) if !key.is_empty() => (key.trim(), value.trim()),
            _ => return Err(format!("invalid field {field}")),
        };
        match key {
            "name" => attachment.target = value.into(),
            "alias" => attachment.aliases.push(value.into()),
            "ip" => attachment.ipv4 = address(value)?,
            "ip6" => attachment.ipv6 = address(value)?,
            "mac-address" => attachment.mac_address = value.into(),
            "link-local-ip" => attachment.link_local.push(address(value)?),
            "driver-opt" => {
                let pair = value.split_once('=').filter(|(key, _)| !key.is_empty());
                let (key, value) = pair.ok_or("invalid key value pair format in driver options")?;
                attachment.driver_opts.insert(key.trim().into(), value.trim().into());
            }
            "gw-priority" => {
                attachment.gw_priority =
                    value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
            }
            _ => return Err(format!("invalid field key {key}")),
        }
    }
    if attachment.target.is_empty() {
        return Err("network name/id is not specified".into());
    }
    Ok(attachment)
}

/// An IP address, spelled as it was.
pub(crate) fn address(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("ParseAddr(\"{text}\"): unable to parse IP")),
    }
}

/// Whether `mode` names a network that users make, and not a built-in mode.
pub(crate) fn is_user_defined(mode: &str) -> bool {
    !matches!(mode, "default" | "bridge" | "host" | "none") && !mode.starts_with("container:")
}

impl Attachment {
    /// The endpoint's settings, as the API takes them.
    pub(crate) fn settings(&self) -> Result<EndpointSettings, String> {
        if self.target.trim().is_empty() {
            return Err("no name set for network".into());
        }
        if !is_user_defined(&self.target) {
            if !self.aliases.is_empty() {
                return Err("network-scoped aliases are only supported for user-defined networks".into());
            }
            if !self.links.is_empty() {
                return Err("links are only supported for user-defined networks".into());
            }
        }
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let addressed = !self.ipv4.is_empty() || !self.ipv6.is_empty() || !self.link_local.is_empty();
        Ok(EndpointSettings {
            ipam_config: addressed.then(|| EndpointIpamConfig {
                ipv4_address: self.ipv4.clone(),
                ipv6_address: self.ipv6.clone(),
                link_local_ips: some(&self.link_local),
            }),
            links: some(&self.links),
            aliases: some(&self.aliases),
            mac_address: mac(&self.mac_address)?,
            driver_opts: (!self.driver_opts.is_empty()).then(|| self.driver_opts.clone()),
            gw_priority: self.gw_priority,
            ..EndpointSettings::default()
        })
    }
}

/// A hardware address in its usual spelling; empty stays empty.
pub(crate) fn mac(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    let invalid = || format!("{text} is not a valid mac address");
    let parts: Vec<&str> = trimmed.split([':', '-']).collect();
    let bytes: Option<Vec<u8>> = parts
        .iter()
        .map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None })
        .collect();
    let bytes = bytes.filter(|bytes| matches!(bytes.len(), 6 | 8 | 20)).ok_or_else(invalid)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lists() {
        assert_eq!(parse("host").map(|one| one.target), Ok("host".into()));
        let one = parse("name=web,alias=a,alias=b,ip=10.0.0.2,driver-opt=k=v,gw-priority=3").expect("valid");
        assert_eq!((one.target.as_str(), one.gw_priority), ("web", 3));
        let settings = one.settings().expect("valid");
        assert_eq!(settings.aliases, Some(vec!["a".into(), "b".into()]));
        assert_eq!(settings.ipam_config.map(|ipam| ipam.ipv4_address).as_deref(), Some("10.0.0.2"));
    }

    #[test]
    fn errors() {
        assert_eq!(parse("alias=x"), Err("network name/id is not specified".into()));
        assert_eq!(parse("name=x,foo=y"), Err("invalid field key foo".into()));
        assert_eq!(mac("zz"), Err("zz is not a valid mac address".into()));
        assert_eq!(mac("92-D0-c6-0a-29-33"), Ok("92:d0:c6:0a:29:33".into()));
    }
}
