//! `system df`: what takes how much of the disk.

use dhow_engine_api::container::ContainerSummary;
use dhow_engine_api::disk_usage::DiskUsage;
use dhow_engine_api::image::ImageSummary;
use dhow_engine_api::volume::Volume;
use serde_json::Value;

use crate::client::Call;
use crate::command::Verb;
use crate::command::{container, image, volume};
use crate::error::Failure;
use crate::output::format::{Columns, Format, Row, is_default};
use crate::output::{put, short_id, time, units};
use crate::session::Session;

/// Show what takes how much of the disk.
#[derive(Debug, clap::Args)]
pub(crate) struct Df {
    /// Format the output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    /// Show each object
    #[arg(short, long)]
    verbose: bool,
}

static COLUMNS: Columns = Columns {
    type_name: "*formatter.diskUsageImagesContext",
    headers: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
};

static CACHE_COLUMNS: Columns = Columns {
    type_name: "*formatter.buildCacheContext",
    headers: &[
        ("ID", "CACHE ID"),
        ("CacheType", "CACHE TYPE"),
        ("Size", "SIZE"),
        ("CreatedSince", "CREATED"),
        ("LastUsedSince", "LAST USED"),
        ("UsageCount", "USAGE"),
        ("Shared", "SHARED"),
    ],
};

const TABLE: &str = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const IMAGES: &str = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
const CONTAINERS: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}";
const VOLUMES: &str = "table {{.Name}}\t{{.Links}}\t{{.Size}}";
const CACHE: &str = "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}";

/// What the daemon tells, read.
struct Usage {
    layers: i64,
    images: Vec<ImageSummary>,
    containers: Vec<ContainerSummary>,
    volumes: Vec<Volume>,
    cache: Vec<Value>,
}

/// One line of the overview.
struct Sum {
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
}

impl Verb for Df {
    const USAGE: &'static str = "[OPTIONS]";
    const ABOUT: &'static str = "Show docker disk usage";

    async fn run(self, session: &Session) -> Result<(), Failure> {
        if self.verbose && !is_default(&self.format) {
            return Err(
                "--verbose with --format is not supported; use `system df --format`, or the lists".into()
            );
        }
        let usage = Usage::new(session.client()?.fetch(Call::get("/system/df")).await?);
        if self.verbose {
            return put(&usage.verbose()?);
        }
        let format = Format::parse(if is_default(&self.format) { TABLE } else { &self.format })?;
        let rows = [
            row("Images", &usage.image_sum()),
            row("Containers", &usage.container_sum()),
            row("Local Volumes", &usage.volume_sum()),
            row("Build Cache", &usage.cache_sum()),
        ];
        put(&format.render(&COLUMNS, &rows)?)
    }
}

fn row(kind: &'static str, sum: &Sum) -> Row {
    let mut reclaimable = units::human_size(sum.reclaimable as f64);
    if sum.size > 0 && kind != "Build Cache" {
        reclaimable.push_str(&format!(" ({}%)", sum.reclaimable * 100 / sum.size));
    }
    Row::new(&COLUMNS)
        .set("Type", kind)
        .set("TotalCount", sum.total.to_string())
        .set("Active", sum.active.to_string())
        .set("Size", units::human_size(sum.size as f64))
        .set("Reclaimable", reclaimable)
}

fn flag(record: &Value, key: &str) -> bool {
    record.get(key).and_then(Value::as_bool).unwrap_or(false)
}

fn number(record: &Value, key: &str) -> i64 {
    record.get(key).and_then(Value::as_i64).unwrap_or(0)
}

impl Usage {
    fn new(answer: DiskUsage) -> Self {
        Self {
            layers: answer.layers_size,
            images: answer.images.unwrap_or_default(),
            containers: answer.containers.unwrap_or_default(),
            volumes: answer.volumes.unwrap_or_default(),
            cache: answer.build_cache.unwrap_or_default(),
        }
    }

    fn image_sum(&self) -> Sum {
        let active = || self.images.iter().filter(|image| image.containers > 0);
        let used: i64 = active()
            .filter(|image| image.size != -1 && image.shared_size != -1)
            .map(|image| image.size - image.shared_size)
            .sum();
        let reclaimable = if self.images.is_empty() { 0 } else { self.layers - used };
        Sum { total: self.images.len(), active: active().count(), size: self.layers, reclaimable }
    }

    fn container_sum(&self) -> Sum {
        let runs = |container: &&ContainerSummary| {
            ["running", "paused", "restarting"].contains(&container.state.as_str())
        };
        let size: i64 = self.containers.iter().map(|container| container.size_rw).sum();
        let used: i64 = self.containers.iter().filter(runs).map(|container| container.size_rw).sum();
        let active = self.containers.iter().filter(runs).count();
        Sum { total: self.containers.len(), active, size, reclaimable: size - used }
    }

    fn volume_sum(&self) -> Sum {
        let usages = || self.volumes.iter().filter_map(|volume| volume.usage_data.as_ref());
        let size = usages().filter(|usage| usage.size != -1).map(|usage| usage.size).sum();
        let reclaimable =
            usages().filter(|usage| usage.ref_count == 0 && usage.size != -1).map(|usage| usage.size).sum();
        let active = usages().filter(|usage| usage.ref_count > 0).count();
        Sum { total: self.volumes.len(), active, size, reclaimable }
    }

    fn cache_sum(&self) -> Sum {
        let own = || self.cache.iter().filter(|record| !flag(record, "Shared"));
        let size: i64 = own().map(|record| number(record, "Size")).sum();
        let used: i64 =
            own().filter(|record| flag(record, "InUse")).map(|record| number(record, "Size")).sum();
        let active = self.cache.iter().filter(|record| flag(record, "InUse")).count();
        Sum { total: self.cache.len(), active, size, reclaimable: size - used }
    }

    fn verbose(self) -> Result<String, Failure> {
        let cache_size = self.cache_sum().size;
        let images: Vec<Row> = self.images.iter().filter_map(image::list::first_row).collect();
        let containers: Vec<Row> = self
            .containers
            .into_iter()
            .map(|container| container::list::row(&ContainerSummary { size_root_fs: 0, ..container }, true))
            .collect();
        let volumes: Vec<Row> = self.volumes.into_iter().map(volume::list::row).collect();
        let cache: Vec<Row> = self.cache.iter().map(cache_row).collect();
        Ok(format!(
            "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}\nBuild cache usage: {}\n\n{}",
            Format::parse(IMAGES)?.render(&image::list::COLUMNS, &images)?,
            Format::parse(CONTAINERS)?.render(&container::list::COLUMNS, &containers)?,
            Format::parse(VOLUMES)?.render(&volume::list::COLUMNS, &volumes)?,
            units::human_size(cache_size as f64),
            Format::parse(CACHE)?.render(&CACHE_COLUMNS, &cache)?,
        ))
    }
}

fn cache_row(record: &Value) -> Row {
    let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or("");
    let since = |key: &str| time::parse(text(key)).map(time::ago).unwrap_or_default();
    Row::new(&CACHE_COLUMNS)
        .set("ID", short_id(text("ID")))
        .set("CacheType", text("Type"))
        .set("Size", units::human_size(number(record, "Size") as f64))
        .set("CreatedSince", since("CreatedAt"))
        .set("LastUsedSince", since("LastUsedAt"))
        .set("UsageCount", number(record, "UsageCount").to_string())
        .set("Shared", flag(record, "Shared").to_string())
}
