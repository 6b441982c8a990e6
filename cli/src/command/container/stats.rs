//! `stats`: what containers use, once or again and again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use dhow_engine_api::container::{ContainerSummary, MemoryStats, StatsResponse};
use dhow_engine_api::event::Event;

use crate::client::query::Filters;
use crate::client::{Call, Client, ClientError, Query};
use crate::command::Verb;
use crate::error::Failure;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::units::{bytes_size, human_size_with};
use crate::output::{put, short_id};
use crate::session::Session;

use super::path;

/// Show what containers use.
#[derive(Debug, clap::Args)]
pub(crate) struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show it once
    #[arg(long)]
    no_stream: bool,
    /// Show whole IDs
    #[arg(long)]
    no_trunc: bool,
    containers: Vec<String>,
}

/// How often the screen is drawn.
const REFRESH: Duration = Duration::from_millis(500);

const TABLE: &str = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

static COLUMNS: Columns = Columns {
    type_name: "*container.statsContext",
    headers: &[
        ("Container", "CONTAINER"),
        ("Name", "NAME"),
        ("ID", "CONTAINER ID"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
};

/// The last sample of each container, by the name it was asked for. None came yet: `None`.
type Samples = Rc<RefCell<BTreeMap<(usize, String), Option<StatsResponse>>>>;

impl Verb for Stats {
    const USAGE: &'static str = "[OPTIONS] [CONTAINER...]";
    const ABOUT: &'static str = "Display a live stream of container(s) resource usage statistics";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        let configured = &session.config().document.stats_format;
        let source = match self.format.as_str() {
            "" if !configured.is_empty() => configured.as_str(),
            format if is_default(format) => TABLE,
            format => format,
        };
        let format = Format::parse(source)?;
        let client = session.client()?;
        if self.no_stream {
            return self.once(client, &format).await;
        }
        self.stream(client, &format).await
    }
}

impl Stats {
    async fn names(&self, client: &Client) -> Result<Vec<String>, ClientError> {
        if !self.containers.is_empty() {
            return Ok(self.containers.clone());
        }
        let call = Call::get("/containers/json").query(Query::new().flag("all", self.all));
        let found: Vec<ContainerSummary> = client.fetch(call).await?;
        Ok(found.into_iter().map(|container| container.id).collect())
    }

    async fn once(&self, client: &Client, format: &Format) -> Result<(), Failure> {
        let names = self.names(client).await?;
        if names.is_empty() {
            return if self.containers.is_empty() { put(&format.render(&COLUMNS, &[])?) } else { Ok(()) };
        }
        let samples = names.iter().map(|name| async move {
            let query = Query::new().set("stream", "0");
            client.fetch::<StatsResponse>(Call::get(path(name, "stats")).query(query)).await
        });
        let samples = futures_util::future::join_all(samples).await;
        let (mut rows, mut failures) = (Vec::new(), Vec::new());
        for (name, sample) in names.iter().zip(samples) {
            match sample {
                Ok(sample) => rows.push(row(name, Some(&sample), !self.no_trunc)),
                // One that ended since it was listed is no longer of interest.
                Err(error) if self.containers.is_empty() && error.is_not_found() => {}
                Err(error) => failures.push(error.into()),
            }
        }
        Failure::join(failures)?;
        put(&format.render(&COLUMNS, &rows)?)
    }

    async fn stream(&self, client: &Rc<Client>, format: &Format) -> Result<(), Failure> {
        let samples = Samples::default();
        let watch_all = self.containers.is_empty();
        let mut filters = Filters::default();
        filters.add("type", "container");
        let mut events = if watch_all {
            let call = Call::get("/events").query(Query::new().filters(&filters));
            Some(client.send(call).await?.messages())
        } else {
            None
        };
        let mut order = 0;
        let mut collectors = tokio::task::JoinSet::new();
        for name in self.names(client).await? {
            collectors.spawn_local(collect(Rc::clone(client), (order, name), Rc::clone(&samples)));
            order += 1;
        }
        // The first samples come first.
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + REFRESH, REFRESH);
        loop {
            let next = async {
                match &mut events {
                    Some(events) => events.next::<Event>().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ticks.tick() => {
                    if samples.borrow().is_empty() && collectors.is_empty() && !watch_all {
                        return put("\x1b[H\x1b[J");
                    }
                    self.draw(&samples, format)?;
                }
                Some(ended) = collectors.join_next() => {
                    if let Ok(Err(error)) = ended && !watch_all {
                        return Err(error.into());
                    }
                }
                event = next => {
                    let Ok(Some(event)) = event else { return Ok(()) };
                    if event.action == "start" || self.all && event.action == "create" {
                        let known = samples.borrow().keys().any(|(_, name)| *name == event.actor.id);
                        if !known {
                            let key = (order, event.actor.id);
                            order += 1;
                            collectors.spawn_local(collect(Rc::clone(client), key, Rc::clone(&samples)));
                        }
                    } else if event.action == "destroy" || !self.all && event.action == "die" {
                        samples.borrow_mut().retain(|(_, name), _| *name != event.actor.id);
                    }
                }
            }
        }
    }

    fn draw(&self, samples: &Samples, format: &Format) -> Result<(), Failure> {
        let rows: Vec<Row> = samples
            .borrow()
            .iter()
            .map(|((_, name), sample)| row(name, sample.as_ref(), !self.no_trunc))
            .collect();
        let text = format.render(&COLUMNS, &rows)?;
        // From the top left, each line and then the rest of the screen cleared of what was longer.
        let lines: String = text.split('\n').map(|line| format!("{line}\x1b[K\n")).collect();
        put(&format!("\x1b[H{lines}\x1b[J"))
    }
}

/// Keeps the last sample of one container until it ends.
async fn collect(client: Rc<Client>, key: (usize, String), samples: Samples) -> Result<(), ClientError> {
    samples.borrow_mut().insert(key.clone(), None);
    let result = follow(&client, &key, &samples).await;
    samples.borrow_mut().remove(&key);
    result
}

async fn follow(client: &Client, key: &(usize, String), samples: &Samples) -> Result<(), ClientError> {
    let query = Query::new().set("stream", "1");
    let mut messages = client.send(Call::get(path(&key.1, "stats")).query(query)).await?.messages();
    while let Some(sample) = messages.next::<StatsResponse>().await? {
        match samples.borrow_mut().get_mut(key) {
            Some(slot) => *slot = Some(sample),
            None => return Ok(()),
        }
    }
    Ok(())
}

fn row(name: &str, sample: Option<&StatsResponse>, truncate: bool) -> Row {
    let row = Row::new(&COLUMNS).set("Container", name);
    let Some(sample) = sample else {
        let row = row.set("Name", "--").set("ID", "").set("CPUPerc", "--").set("MemUsage", "-- / --");
        return row.set("MemPerc", "--").set("NetIO", "--").set("BlockIO", "--").set("PIDs", "--");
    };
    let (used, limit) = (memory(&sample.memory_stats) as f64, sample.memory_stats.limit as f64);
    let share = if limit == 0.0 { 0.0 } else { used / limit * 100.0 };
    let size = |bytes: u64| human_size_with(bytes as f64, 3);
    let networks = || sample.networks.iter().flat_map(BTreeMap::values);
    let (received, sent) =
        (networks().map(|one| one.rx_bytes).sum(), networks().map(|one| one.tx_bytes).sum());
    let moved = |letter: char| -> u64 {
        let entries = sample.blkio_stats.io_service_bytes_recursive.iter().flatten();
        entries
            .filter(|entry| entry.op.to_ascii_lowercase().starts_with(letter))
            .map(|entry| entry.value)
            .sum()
    };
    row.set("Name", sample.name.trim_start_matches('/'))
        .set("ID", if truncate { short_id(&sample.id) } else { sample.id.clone() })
        .set("CPUPerc", format!("{:.2}%", processor(sample)))
        .set("MemUsage", format!("{} / {}", bytes_size(used), bytes_size(limit)))
        .set("MemPerc", format!("{share:.2}%"))
        .set("NetIO", format!("{} / {}", size(received), size(sent)))
        .set("BlockIO", format!("{} / {}", size(moved('r')), size(moved('w'))))
        .set("PIDs", sample.pids_stats.current.to_string())
}

/// Memory without what the kernel can take back at once.
fn memory(stats: &MemoryStats) -> u64 {
    let inactive = ["total_inactive_file", "inactive_file"]
        .iter()
        .filter_map(|key| stats.stats.get(*key).copied())
        .find(|inactive| *inactive < stats.usage);
    stats.usage - inactive.unwrap_or(0)
}

/// Share of the processors between two samples, in percent of one.
fn processor(sample: &StatsResponse) -> f64 {
    let (now, before) = (&sample.cpu_stats, &sample.precpu_stats);
    let used = now.cpu_usage.total_usage as f64 - before.cpu_usage.total_usage as f64;
    let passed = now.system_cpu_usage as f64 - before.system_cpu_usage as f64;
    let processors = match now.online_cpus {
        0 => now.cpu_usage.percpu_usage.as_ref().map_or(0, Vec::len) as f64,
        online => f64::from(online),
    };
    if used > 0.0 && passed > 0.0 { used / passed * processors * 100.0 } else { 0.0 }
}
