//! Block devices: bytes and operations, and what the io scheduler measures beyond them.

use serde::Serialize;

use super::pressure::Pressure;
use super::{Directory, is_zero, optional};
use crate::cgroup::CgroupError;

/// One table a measure.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<Entry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    io_queued_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_time_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_wait_time_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_merged_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_time_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sectors_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) psi: Option<Pressure>,
}

/// One device, one kind of operation.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    #[serde(skip_serializing_if = "is_zero")]
    major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    op: String,
    #[serde(skip_serializing_if = "is_zero")]
    value: u64,
}

/// The first family of files that the kernel's io scheduler offers.
pub(super) fn read_v1(directory: &Directory) -> Result<Blkio, CgroupError> {
    let table = |prefix: &str, name: &str| {
        let text = optional(directory.read(&format!("blkio.{prefix}{name}")))?.unwrap_or_default();
        Ok::<_, CgroupError>(text.lines().filter_map(line).collect::<Vec<_>>())
    };
    for prefix in ["bfq.", ""] {
        if directory.has(&format!("blkio.{prefix}io_serviced_recursive")) {
            return Ok(Blkio {
                io_service_bytes_recursive: table(prefix, "io_service_bytes_recursive")?,
                io_serviced_recursive: table(prefix, "io_serviced_recursive")?,
                io_queued_recursive: table(prefix, "io_queued_recursive")?,
                io_service_time_recursive: table(prefix, "io_service_time_recursive")?,
                io_wait_time_recursive: table(prefix, "io_wait_time_recursive")?,
                io_merged_recursive: table(prefix, "io_merged_recursive")?,
                io_time_recursive: table(prefix, "time_recursive")?,
                sectors_recursive: table(prefix, "sectors_recursive")?,
                psi: None,
            });
        }
    }
    let suffix = if directory.has("blkio.throttle.io_serviced_recursive") { "_recursive" } else { "" };
    Ok(Blkio {
        io_service_bytes_recursive: table("throttle.", &format!("io_service_bytes{suffix}"))?,
        io_serviced_recursive: table("throttle.", &format!("io_serviced{suffix}"))?,
        ..Blkio::default()
    })
}

/// `8:0 Read 4096`, or `8:0 7` where there is one kind only. Totals of all devices have no device.
pub(super) fn line(line: &str) -> Option<Entry> {
    let mut fields = line.split_whitespace();
    let (major, minor) = device(fields.next()?)?;
    let (first, second) = (fields.next()?, fields.next());
    let (op, value) = second.map_or(("", first), |value| (first, value));
    Some(Entry { major, minor, op: op.to_owned(), value: value.parse().ok()? })
}

fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`, sorted into v1's tables.
pub(super) fn read_v2(directory: &Directory) -> Result<Blkio, CgroupError> {
    Ok(parse_v2(&optional(directory.read("io.stat"))?.unwrap_or_default()))
}

pub(super) fn parse_v2(text: &str) -> Blkio {
    let mut blkio = Blkio::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some((major, minor)) = fields.next().and_then(device) else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (op, table) = match key {
                "rbytes" => ("Read", &mut blkio.io_service_bytes_recursive),
                "wbytes" => ("Write", &mut blkio.io_service_bytes_recursive),
                "rios" => ("Read", &mut blkio.io_serviced_recursive),
                "wios" => ("Write", &mut blkio.io_serviced_recursive),
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                table.push(Entry { major, minor, op: op.to_owned(), value });
            }
        }
    }
    blkio
}
