//! Pressure stall information: how long work waited for a resource.

use serde::Serialize;

use super::{Directory, is_default, optional};
use crate::cgroup::CgroupError;

/// Shares of time in percent, and microseconds in all.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(crate) struct Stall {
    avg10: f64,
    avg60: f64,
    avg300: f64,
    total: u64,
}

/// Some work waited; all work waited.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(crate) struct Pressure {
    #[serde(skip_serializing_if = "is_default")]
    some: Stall,
    #[serde(skip_serializing_if = "is_default")]
    full: Stall,
}

/// The pressure file `name`; none where the kernel does not measure.
pub(super) fn read(directory: &Directory, name: &str) -> Result<Option<Pressure>, CgroupError> {
    match optional(directory.read(name)) {
        Ok(text) => Ok(text.map(|text| parse(&text))),
        // `psi=0` on the kernel's command line, or switched off for this cgroup.
        Err(error) if error.is_errno(rustix::io::Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`
pub(super) fn parse(text: &str) -> Pressure {
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let mut fields = line.split(' ');
        let stall = match fields.next() {
            Some("some") => &mut pressure.some,
            Some("full") => &mut pressure.full,
            _ => continue,
        };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            match key {
                "avg10" => stall.avg10 = value.parse().unwrap_or_default(),
                "avg60" => stall.avg60 = value.parse().unwrap_or_default(),
                "avg300" => stall.avg300 = value.parse().unwrap_or_default(),
                "total" => stall.total = value.parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
    pressure
}
