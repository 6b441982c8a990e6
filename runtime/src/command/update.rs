//! `update`: new limits for a container that exists.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use dhow_linux::file::{PathError, read_limited};
use oci_spec::runtime::LinuxResources;
use serde_json::{Value, json};

use super::{Failure, Outcome, Refusal, Verb, open};
use crate::container::{Container, ContainerId};
use crate::options::Global;
use crate::resctrl::Resctrl;

/// Limits are a few lines.
const LONGEST: u64 = 4 << 20;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// path to the file containing the resources to update or '-' to read from the standard input; all other options
    /// are ignored then
    #[arg(long, short)]
    resources: Option<PathBuf>,
    /// Specifies per cgroup weight, range is from 10 to 1000
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// CPU CFS period to be used for hardcapping (in usecs). 0 to use system default
    #[arg(long)]
    cpu_period: Option<String>,
    /// CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period
    #[arg(long)]
    cpu_quota: Option<String>,
    /// CPU CFS hardcap burst limit (in usecs). Allowed accumulated cpu time additionally for burst a given period
    #[arg(long)]
    cpu_burst: Option<String>,
    /// CPU shares (relative weight vs. other containers)
    #[arg(long)]
    cpu_share: Option<String>,
    /// CPU realtime period to be used for hardcapping (in usecs). 0 to use system default
    #[arg(long)]
    cpu_rt_period: Option<String>,
    /// CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period
    #[arg(long)]
    cpu_rt_runtime: Option<String>,
    /// CPU(s) to use
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory node(s) to use
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// (obsoleted; do not use)
    #[arg(long, hide = true)]
    kernel_memory: Option<String>,
    /// (obsoleted; do not use)
    #[arg(long, hide = true)]
    kernel_memory_tcp: Option<String>,
    /// Memory limit (in bytes)
    #[arg(long)]
    memory: Option<String>,
    /// set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE
    #[arg(long)]
    cpu_idle: Option<String>,
    /// Memory reservation or soft_limit (in bytes)
    #[arg(long)]
    memory_reservation: Option<String>,
    /// Total memory usage (memory + swap); set '-1' to enable unlimited swap
    #[arg(long)]
    memory_swap: Option<String>,
    /// Maximum number of pids allowed in the container
    #[arg(long)]
    pids_limit: Option<i64>,
    /// The string of Intel RDT/CAT L3 cache schema
    #[arg(long)]
    l3_cache_schema: Option<String>,
    /// The string of Intel RDT/MBA memory bandwidth schema
    #[arg(long)]
    mem_bw_schema: Option<String>,
    /// the container
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

impl Verb for UpdateArgs {
    const NAME: &str = "update";
    const HELP: &str = "update container resource constraints";

    fn run(self, global: &Global) -> Outcome {
        let mut container = open(global, &self.id)?;
        let change = match &self.resources {
            Some(path) => read(path)?,
            None => self.flags()?,
        };
        let mut config: Value = serde_json::from_str(container.state.config.get())?;
        self.update_class(&container, &mut config)?;
        let known = config.pointer("/linux/resources").cloned().unwrap_or_else(|| json!({}));
        let (effective, remembered) = combine(&known, change);
        if let Err(error) = container.cgroup.update(&decode(&effective)?) {
            set_back(&container, &known)?;
            return Err(error.into());
        }
        // What is in force is what the next update starts from.
        if let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
            linux.insert("resources".to_owned(), remembered);
        }
        container.state.config = serde_json::value::to_raw_value(&config)?;
        container.save()?;
        Ok(0)
    }
}

impl UpdateArgs {
    /// The class of service; not from a document, which has no place for it.
    fn update_class(&self, container: &Container, config: &mut Value) -> Result<(), Failure> {
        let (cache, bandwidth) = (given(&self.l3_cache_schema), given(&self.mem_bw_schema));
        if self.resources.is_some() || cache.or(bandwidth).is_none() {
            return Ok(());
        }
        let refuse = |text: &str| Failure::from(Refusal(text.to_owned()));
        let resctrl = Resctrl::find();
        let can = |divides: fn(&Resctrl) -> bool| resctrl.as_ref().is_some_and(divides);
        if cache.is_some() && !can(Resctrl::divides_cache) {
            return Err(refuse("Intel RDT/CAT: l3 cache schema is not enabled"));
        }
        if bandwidth.is_some() && !can(Resctrl::divides_bandwidth) {
            return Err(refuse("Intel RDT/MBA: memory bandwidth schema is not enabled"));
        }
        let known = config.pointer_mut("/linux/intelRdt").and_then(Value::as_object_mut);
        let (Some(class), Some(resctrl), Some(known)) = (&container.state.resctrl, &resctrl, known) else {
            return Err(refuse("updating a non-existent Intel RDT configuration is not supported"));
        };
        for (name, value) in [("l3CacheSchema", cache), ("memBwSchema", bandwidth)] {
            known.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        let asked = serde_json::from_value(Value::Object(known.clone()))?;
        Ok(resctrl.set(class, &asked)?)
    }

    fn flags(&self) -> Result<Value, Refusal> {
        let mut change = json!({"memory": {}, "cpu": {}, "blockIO": {}});
        let mut set = |group: &str, name: &str, value: Option<Value>| {
            if let (Some(group), Some(value)) = (change.get_mut(group).and_then(Value::as_object_mut), value)
            {
                group.insert(name.to_owned(), value);
            }
        };
        set("blockIO", "weight", self.blkio_weight.filter(|weight| *weight != 0).map(Value::from));
        set("cpu", "cpus", given(&self.cpuset_cpus).map(Value::from));
        set("cpu", "mems", given(&self.cpuset_mems).map(Value::from));
        set("cpu", "idle", number::<i64>("cpu-idle", &self.cpu_idle)?);
        set("cpu", "burst", number::<u64>("cpu-burst", &self.cpu_burst)?);
        set("cpu", "period", number::<u64>("cpu-period", &self.cpu_period)?);
        set("cpu", "realtimePeriod", number::<u64>("cpu-rt-period", &self.cpu_rt_period)?);
        set("cpu", "shares", number::<u64>("cpu-share", &self.cpu_share)?);
        set("cpu", "quota", number::<i64>("cpu-quota", &self.cpu_quota)?);
        set("cpu", "realtimeRuntime", number::<i64>("cpu-rt-runtime", &self.cpu_rt_runtime)?);
        set("memory", "limit", bytes("memory", &self.memory)?);
        set("memory", "swap", bytes("memory-swap", &self.memory_swap)?);
        set("memory", "reservation", bytes("memory-reservation", &self.memory_reservation)?);
        set("memory", "kernel", bytes("kernel-memory", &self.kernel_memory)?);
        set("memory", "kernelTCP", bytes("kernel-memory-tcp", &self.kernel_memory_tcp)?);
        if let Some(limit) = self.pids_limit {
            change["pids"] = json!({ "limit": limit });
        }
        Ok(change)
    }
}

/// Some of a refused change may be in force already: what was in force before comes back.
fn set_back(container: &Container, known: &Value) -> Result<(), Failure> {
    if let Err(error) = container.cgroup.update(&decode(known)?) {
        crate::log::warn(&format!(
            "Setting back cgroup configs failed due to error: {}, your state.json and actual configs might be inconsistent.",
            crate::error::chain(&error)
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Value, Failure> {
    let text = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().take(LONGEST).read_to_end(&mut text).map_err(PathError::at("read", "stdin"))?;
        text
    } else {
        read_limited(path, LONGEST)?
    };
    match serde_json::from_slice(&text)? {
        // As every other null in such a document: nothing was said.
        Value::Null => Ok(json!({})),
        change @ Value::Object(_) => decode(&change).map(|_| change),
        _ => Err(Refusal("resources are an object".to_owned()).into()),
    }
}

fn decode(resources: &Value) -> Result<LinuxResources, Failure> {
    let mut resources = resources.clone();
    crate::spec::repair_resources(&mut resources);
    Ok(serde_json::from_value(resources)?)
}

/// What to set now, and what to remember: `known` with `change` over it.
///
/// The kernel keeps what is not named. But values that only have a meaning together go along with their old halves:
/// quota with period, swap with memory.
fn combine(known: &Value, change: Value) -> (Value, Value) {
    let mut change = change;
    let at = |value: &Value, path: &str| value.pointer(path).filter(|value| !value.is_null()).cloned();
    // Unlimited memory without a word about swap leaves swap to the controller.
    if at(&change, "/memory/limit") == Some(json!(-1)) && at(&change, "/memory/swap").is_none() {
        change["memory"]["swap"] = json!(0);
    }
    crate::spec::repair_resources(&mut change);
    // An idle cgroup has no weight: the old one must not be written again.
    if at(&change, "/cpu/idle").is_some() && at(&change, "/cpu/shares").is_none() {
        change["cpu"]["shares"] = json!(0);
    }
    let mut remembered = known.clone();
    merge(&mut remembered, &change);
    let mut effective = change;
    if let Some(group) = effective.as_object_mut() {
        // Devices were never changed by an update.
        group.remove("devices");
    }
    for (one, other) in [("/cpu/quota", "period"), ("/cpu/period", "quota")] {
        let changed = at(&effective, one).is_some_and(|value| value != json!(0));
        let missing = at(&effective, &format!("/cpu/{other}")).is_none();
        if let Some(old) = at(&remembered, &format!("/cpu/{other}")).filter(|_| changed && missing) {
            effective["cpu"][other] = old;
        }
    }
    let swap = at(&effective, "/memory/swap").is_some_and(|swap| swap != json!(0));
    let alone = swap && at(&effective, "/memory/limit").is_none();
    if let Some(limit) = at(&remembered, "/memory/limit").filter(|_| alone) {
        effective["memory"]["limit"] = limit;
    }
    (effective, remembered)
}

/// Objects are merged key by key, all else is replaced; `null` means nothing was said.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn number<T: std::str::FromStr + Into<Value>>(
    flag: &str,
    text: &Option<String>,
) -> Result<Option<Value>, Refusal>
where
    T::Err: std::fmt::Display,
{
    let Some(text) = given(text) else { return Ok(None) };
    let invalid = |error| Refusal(format!("invalid value for {flag}: parsing {text:?}: {error}"));
    Ok(Some(text.parse::<T>().map_err(invalid)?.into()))
}

/// Bytes with a unit: `64m`, `1.5GiB`; `-1` for no limit.
fn bytes(flag: &str, text: &Option<String>) -> Result<Option<Value>, Refusal> {
    let Some(text) = given(text) else { return Ok(None) };
    if text == "-1" {
        return Ok(Some(json!(-1)));
    }
    parse_bytes(text)
        .map(|bytes| Some(bytes.into()))
        .ok_or_else(|| Refusal(format!("invalid value for {flag}: invalid size: '{text}'")))
}

fn parse_bytes(text: &str) -> Option<i64> {
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.')? + 1;
    let (number, unit) = text.split_at(end);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<i64>() {
        return whole.checked_mul(1 << shift).filter(|bytes| *bytes >= 0);
    }
    let number: f64 = number.parse().ok().filter(|number: &f64| *number >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "a size that a person wrote"
    )]
    let bytes = (number * (1_i64 << shift) as f64) as i64;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("64", Some(64)),
            ("64k", Some(65_536)),
            ("1.5m", Some(1_572_864)),
            ("2GiB", Some(2 << 30)),
            ("1 gb", Some(1 << 30)),
            ("-5", None),
            ("m", None),
            ("5x", None),
            ("99999999999p", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_quota_takes_its_old_period_along() {
        let known = json!({"cpu": {"period": 1000, "quota": 500}, "devices": [1]});
        let (effective, remembered) = combine(&known, json!({"cpu": {"quota": 700}, "devices": []}));
        assert_eq!(effective, json!({"cpu": {"quota": 700, "period": 1000}}));
        assert_eq!(remembered["cpu"], json!({"period": 1000, "quota": 700}));
    }

    #[test]
    fn unlimited_memory_says_nothing_of_swap() {
        let (effective, _) = combine(&json!({}), json!({"memory": {"limit": -1}}));
        assert_eq!(effective["memory"], json!({"limit": -1, "swap": 0}));
    }

    #[test]
    fn swap_alone_is_counted_from_the_known_memory() {
        let known = json!({"memory": {"limit": 100}});
        let (effective, _) = combine(&known, json!({"memory": {"swap": 300}}));
        assert_eq!(effective["memory"], json!({"limit": 100, "swap": 300}));
    }

    #[test]
    fn null_changes_nothing() {
        let (_, remembered) =
            combine(&json!({"pids": {"limit": 5}}), json!({"pids": null, "cpu": {"shares": 2}}));
        assert_eq!(remembered, json!({"pids": {"limit": 5}, "cpu": {"shares": 2}}));
    }
}
