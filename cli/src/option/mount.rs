//! `--mount type=bind,source=/a,target=/b,…`

use std::collections::BTreeMap;

use dhow_engine_api::mount::{BindOptions, Driver, ImageOptions, Mount, TmpfsOptions, VolumeOptions};

use super::csv;
use super::volume::absolute;
use crate::output::units::{quote, ram_in_bytes};

/// Reads one `--mount`.
pub(crate) fn parse(text: &str) -> Result<Mount, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("value is empty".into());
    }
    let mut mount = Mount { kind: "volume".into(), ..Mount::default() };
    for field in csv::fields(text)? {
        set(&mut mount, &field)?;
    }
    check(&mount)?;
    Ok(mount)
}

/// Options that need no value.
const SWITCHES: [&str; 5] = ["readonly", "ro", "volume-nocopy", "bind-nonrecursive", "bind-create-src"];

fn set(mount: &mut Mount, field: &str) -> Result<(), String> {
    let (key, value) = match field.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (field, None),
    };
    if key.trim() != key {
        return Err(format!(
            "invalid option '{}' in '{field}': option should not have whitespace",
            key.trim()
        ));
    }
    if let Some(value) = value {
        if value.trim().is_empty() {
            return Err(format!("invalid value for '{key}': value is empty"));
        }
        if value.trim() != value {
            return Err(format!("invalid value for '{key}' in '{field}': value should not have whitespace"));
        }
    }
    let key = key.to_lowercase();
    if value.is_none() && !SWITCHES.contains(&key.as_str()) {
        return Err(format!("invalid field '{field}' must be a key=value pair"));
    }
    let text = value.unwrap_or("").to_owned();
    match key.as_str() {
        "type" => mount.kind = text.to_lowercase(),
        "source" | "src" => {
            mount.source = if text.starts_with('.') { absolute(&text).unwrap_or(text) } else { text };
        }
        "target" | "dst" | "destination" => mount.target = text,
        "readonly" | "ro" => mount.read_only = switch(&key, value)?,
        "consistency" => mount.consistency = text.to_lowercase(),
        "bind-propagation" => bind(mount).propagation = text.to_lowercase(),
        "bind-nonrecursive" => bind(mount).non_recursive = switch(&key, value)?,
        "bind-recursive" => match text.as_str() {
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = true,
            "writable" => bind(mount).read_only_non_recursive = true,
            "readonly" => bind(mount).read_only_force_recursive = true,
            _ => {
                return Err(format!(
                    "invalid value for {key}: {text} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                ));
            }
        },
        "bind-create-src" => bind(mount).create_mountpoint = switch(&key, value)?,
        "volume-subpath" => volume(mount).subpath = text,
        "volume-nocopy" => volume(mount).no_copy = switch(&key, value)?,
        "volume-label" => insert(&mut volume(mount).labels, &text),
        "volume-driver" => driver(mount).name = text,
        "volume-opt" => insert(&mut driver(mount).options, &text),
        "image-subpath" => mount.image_options.get_or_insert_with(ImageOptions::default).subpath = text,
        "tmpfs-size" => {
            tmpfs(mount).size_bytes =
                ram_in_bytes(&text).map_err(|_| format!("invalid value for {key}: {text}"))?;
        }
        "tmpfs-mode" => {
            tmpfs(mount).mode =
                u32::from_str_radix(&text, 8).map_err(|_| format!("invalid value for {key}: {text}"))?;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn switch(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("1" | "true") => Ok(true),
        Some("0" | "false") => Ok(false),
        Some(other) => Err(format!(
            "invalid value for '{key}': invalid boolean value ({}): must be one of \"true\", \"1\", \"false\", or \"0\" (default \"true\")",
            quote(other)
        )),
    }
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_with(BindOptions::default)
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_with(VolumeOptions::default)
}

fn driver(mount: &mut Mount) -> &mut Driver {
    volume(mount).driver_config.get_or_insert_with(Driver::default)
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_with(TmpfsOptions::default)
}

fn insert(map: &mut Option<BTreeMap<String, String>>, pair: &str) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    if !key.is_empty() {
        map.get_or_insert_with(BTreeMap::new).insert(key.to_owned(), value.to_owned());
    }
}

fn check(mount: &Mount) -> Result<(), String> {
    let kind = mount.kind.as_str();
    if kind.is_empty() {
        return Err("type is required".into());
    }
    for (owner, used) in [
        ("bind", mount.bind_options.is_some()),
        ("volume", mount.volume_options.is_some()),
        ("image", mount.image_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ] {
        if used && kind != owner {
            return Err(format!("cannot mix '{owner}-*' options with mount type '{kind}'"));
        }
    }
    if let Some(options) = &mount.bind_options {
        let needs = |what: &str, by: &str| {
            Err(format!("option 'bind-recursive={by}' requires '{what}' to be specified in conjunction"))
        };
        if options.read_only_non_recursive && !mount.read_only {
            return needs("readonly", "writable");
        }
        if options.read_only_force_recursive && !mount.read_only {
            return needs("readonly", "readonly");
        }
        if options.read_only_force_recursive && options.propagation != "rprivate" {
            return needs("bind-propagation=rprivate", "readonly");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind() {
        let mount = parse("type=bind,source=/a,target=/b,readonly,bind-propagation=rslave").expect("valid");
        assert_eq!((mount.kind.as_str(), mount.source.as_str(), mount.target.as_str()), ("bind", "/a", "/b"));
        assert!(mount.read_only);
        assert_eq!(mount.bind_options.map(|options| options.propagation).as_deref(), Some("rslave"));
    }

    #[test]
    fn a_volume_with_options() {
        let mount =
            parse("src=v,dst=/b,volume-label=a=b,volume-driver=x,\"volume-opt=o=1,2\"").expect("valid");
        let options = mount.volume_options.expect("options");
        assert_eq!(options.labels.expect("labels")["a"], "b");
        let driver = options.driver_config.expect("driver");
        assert_eq!((driver.name.as_str(), driver.options.expect("options")["o"].as_str()), ("x", "1,2"));
    }

    #[test]
    fn errors_are_dockers() {
        for (text, error) in [
            ("", "value is empty"),
            ("type=bind,src", "invalid field 'src' must be a key=value pair"),
            ("type=bind,foo=bar", "unexpected key 'foo' in 'foo=bar'"),
            (
                "type=tmpfs,target=/x,bind-propagation=slave",
                "cannot mix 'bind-*' options with mount type 'tmpfs'",
            ),
            ("type=tmpfs,target=/x,tmpfs-size=q", "invalid value for tmpfs-size: q"),
            ("target= /x", "invalid value for 'target' in 'target= /x': value should not have whitespace"),
            (
                "type=bind,src=/a,target=/x,bind-recursive=writable",
                "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
            ),
        ] {
            assert_eq!(parse(text), Err(error.into()), "{text}");
        }
    }
}
