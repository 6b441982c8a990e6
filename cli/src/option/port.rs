//! `-p` and `--expose`: ports and ranges of ports.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dhow_engine_api::Empty;
use dhow_engine_api::endpoint::{PortBinding, PortMap};

/// What the flags say together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) exposed: BTreeMap<String, Empty>,
    pub(crate) bindings: PortMap,
}

/// Reads all values of `-p` and `--expose`.
pub(crate) fn parse(published: &[String], exposed: &[String]) -> Result<Ports, String> {
    let mut ports = Ports::default();
    for spec in published {
        let spec = if spec.contains('=') { standard(spec)? } else { spec.clone() };
        publish(&spec, &mut ports)?;
    }
    for spec in exposed {
        let invalid = |cause: String| format!("invalid range format for --expose: {cause}");
        let (range, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        let (first, last) = range_of(range).map_err(invalid)?;
        for port in first..=last {
            ports.exposed.insert(format!("{port}/{}", protocol.to_lowercase()), Empty {});
        }
    }
    Ok(ports)
}

/// `published=8080,target=80,protocol=tcp` in the short form.
fn standard(spec: &str) -> Result<String, String> {
    let mut parameters = BTreeMap::from([("protocol", "tcp")]);
    for parameter in spec.split(',') {
        match parameter.split_once('=') {
            Some((key, value)) if !key.is_empty() => drop(parameters.insert(key, value)),
            _ => {
                return Err(format!(
                    "invalid publish opts format (should be name=value but got '{parameter}')"
                ));
            }
        }
    }
    let get = |key| parameters.get(key).copied().unwrap_or("");
    Ok(format!("{}:{}/{}", get("published"), get("target"), get("protocol")))
}

/// `[[ip:][host]:]container[/protocol]`
fn publish(spec: &str, ports: &mut Ports) -> Result<(), String> {
    let parts: Vec<&str> = spec.split(':').collect();
    let (address, host, container) = match &parts[..] {
        [container] => (String::new(), "", *container),
        [host, container] => (String::new(), *host, *container),
        [address @ .., host, container] => (address.join(":"), *host, *container),
        [] => return Ok(()),
    };
    let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
    if container.is_empty() {
        return Err(format!("no port specified: {spec}<empty>"));
    }
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    let address = match address.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .ok_or_else(|| {
                format!("invalid IP address {address}: address {address}:: missing ']' in address")
            })?
            .to_owned(),
        None => address,
    };
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {address}"));
    }
    let (first, last) = range_of(container).map_err(|_| format!("invalid containerPort: {container}"))?;
    let hosts = if host.is_empty() {
        None
    } else {
        Some(range_of(host).map_err(|_| format!("invalid hostPort: {host}"))?)
    };
    if let Some((host_first, host_last)) = hosts
        && last - first != host_last - host_first
        && last != first
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    for port in first..=last {
        let host_port = match hosts {
            None => String::new(),
            // One port of the container, any of a range of the host.
            Some((host_first, host_last)) if first == last && host_first != host_last => {
                format!("{host_first}-{host_last}")
            }
            Some((host_first, _)) => (u32::from(host_first) + u32::from(port - first)).to_string(),
        };
        let key = format!("{port}/{protocol}");
        ports.exposed.insert(key.clone(), Empty {});
        let binding = PortBinding { host_ip: address.clone(), host_port };
        ports.bindings.entry(key).or_default().get_or_insert_with(Vec::new).push(binding);
    }
    Ok(())
}

/// `80` or `80-90`.
fn range_of(text: &str) -> Result<(u16, u16), String> {
    let number =
        |text: &str| text.parse::<u16>().map_err(|_| format!("invalid port '{text}': invalid syntax"));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if last < first {
        return Err(format!("invalid port range: {text}"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(spec: &str) -> Result<Vec<String>, String> {
        let ports = parse(&[spec.to_owned()], &[])?;
        Ok(ports
            .bindings
            .into_iter()
            .flat_map(|(port, bindings)| {
                bindings
                    .unwrap_or_default()
                    .into_iter()
                    .map(move |one| format!("{}|{}|{port}", one.host_ip, one.host_port))
            })
            .collect())
    }

    #[test]
    fn published() {
        for (spec, expected) in [
            ("80", vec!["||80/tcp"]),
            ("8080:80", vec!["|8080|80/tcp"]),
            ("127.0.0.1::80/UDP", vec!["127.0.0.1||80/udp"]),
            ("[::1]:8080:80", vec!["::1|8080|80/tcp"]),
            ("8000-8001:80-81", vec!["|8000|80/tcp", "|8001|81/tcp"]),
            ("8000-8009:80", vec!["|8000-8009|80/tcp"]),
            ("published=8080,target=80", vec!["|8080|80/tcp"]),
        ] {
            assert_eq!(bindings(spec), Ok(expected.into_iter().map(str::to_owned).collect()), "{spec}");
        }
    }

    #[test]
    fn errors_are_dockers() {
        for (spec, error) in [
            ("x", "invalid containerPort: x"),
            ("x:80", "invalid hostPort: x"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            ("80/foo", "invalid proto: foo"),
            ("8000-8002:80-81", "invalid ranges specified for container and host Ports: 80-81 and 8000-8002"),
            ("8080:", "no port specified: 8080:<empty>"),
        ] {
            assert_eq!(bindings(spec), Err(error.into()), "{spec}");
        }
    }

    #[test]
    fn exposed() {
        let ports = parse(&[], &["80-81".into(), "53/udp".into()]).expect("valid");
        assert_eq!(ports.exposed.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp", "81/tcp"]);
        assert!(ports.bindings.is_empty());
    }
}
