//! `events`: what a container uses, and when the kernel kills in it for want of memory.

use std::io::Write;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;

use super::{Failure, Outcome, Refusal, Verb, open};
use crate::cgroup::{OomEvent, Stats};
use crate::container::{Container, ContainerId, Status};
use crate::options::Global;
use crate::resctrl::Resctrl;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// set the stats collection interval
    #[arg(long, default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// display the container's stats then exit
    #[arg(long)]
    stats: bool,
    /// the container
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
}

/// One line of output.
#[derive(Debug, Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

/// Usage, with what belongs to no cgroup.
#[derive(Debug, Serialize)]
struct Data {
    #[serde(flatten)]
    stats: Stats,
    intel_rdt: serde_json::Map<String, serde_json::Value>,
    /// Interfaces are the business of who gave them.
    network_interfaces: Option<()>,
}

impl Verb for EventsArgs {
    const NAME: &str = "events";
    const HELP: &str =
        "display container events such as OOM notifications, cpu, memory, and IO usage statistics";

    fn run(self, global: &Global) -> Outcome {
        let container = open(global, &self.id)?;
        if self.interval.is_zero() {
            return Err(Refusal("duration interval must be greater than 0".to_owned()).into());
        }
        if container.status()? == Status::Stopped {
            return Err(Refusal(format!("container with id {} is not running", self.id.as_str())).into());
        }
        if self.stats {
            print_stats(&container)?;
            return Ok(0);
        }
        self.follow(&container)?;
        Ok(0)
    }
}

impl EventsArgs {
    /// Until the container's cgroup is gone.
    fn follow(&self, container: &Container) -> Result<(), Failure> {
        let mut watch = container.cgroup.watch_oom()?;
        let mut next = Instant::now() + self.interval;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            let wait = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 });
            match poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&wait)) {
                Ok(0) => {
                    match print_stats(container) {
                        // It is being deleted under our eyes; the watch tells when that is done.
                        Err(_) if container.init().is_none() => {}
                        other => other?,
                    }
                    next += self.interval;
                }
                Ok(_) => match watch.read()? {
                    OomEvent::Gone => return Ok(()),
                    OomEvent::Killed(count) => {
                        for _ in 0..count {
                            print(&Event { kind: "oom", id: container.state.id.as_str(), data: None })?;
                        }
                    }
                },
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn print_stats(container: &Container) -> Result<(), Failure> {
    let stats = container.cgroup.stats()?;
    let class = container.state.resctrl.as_ref().zip(Resctrl::find());
    let intel_rdt = class.map(|(class, resctrl)| resctrl.stats(class)).transpose()?.unwrap_or_default();
    let data = Data { stats, intel_rdt, network_interfaces: None };
    print(&Event { kind: "stats", id: container.state.id.as_str(), data: Some(data) })
}

fn print(event: &Event<'_>) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(std::io::stdout().write_all(&line)?)
}

/// Go's durations: `5s`, `1m30s`, `1.5h`, `250ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let mut rest = text;
    let mut seconds = 0.0;
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    while !rest.is_empty() {
        let digits =
            rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at(digits);
        let letters =
            after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(invalid()),
        };
        seconds += number.parse::<f64>().map_err(|_| invalid())? * scale;
        rest = next;
    }
    if text.is_empty() { Err(invalid()) } else { Duration::try_from_secs_f64(seconds).map_err(|_| invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let milliseconds = |text: &str| duration(text).map(|duration| duration.as_millis()).ok();
        assert_eq!(
            ["5s", "1m30s", "1.5h", "250ms", "0"].map(milliseconds),
            [5000, 90_000, 5_400_000, 250, 0].map(Some)
        );
        assert_eq!(["", "5", "s", "5x", "-1s", "1.2.3s"].map(milliseconds), [None; 6]);
    }

    #[test]
    fn an_oom_line_has_no_data() {
        let event = Event { kind: "oom", id: "c", data: None };
        assert_eq!(serde_json::to_string(&event).expect("json"), r#"{"type":"oom","id":"c"}"#);
    }
}
