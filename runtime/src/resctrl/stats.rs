//! What `events` tells of a class, in the shape of runc's documents.

use std::path::Path;

use dhow_linux::file::PathError;
use serde_json::{Map, Value, json};

use super::{Class, Resctrl, read};

impl Resctrl {
    /// The numbers of the container in `class`.
    pub(crate) fn stats(&self, class: &Class) -> Result<Map<String, Value>, PathError> {
        let mut stats = Map::new();
        let all = read(&self.root.join("schemata"))?;
        let own = read(&class.path.join("schemata"))?;
        let last = |text: &str, word: &str| {
            text.lines().rfind(|line| line.contains(word)).map(|line| Value::from(line.trim()))
        };
        if self.divides_cache() {
            let info = self.info("L3", &["min_cbm_bits", "num_closids"], &["cbm_mask"])?;
            stats.insert("l3_cache_info".to_owned(), info);
            stats.extend(last(&all, "L3").map(|line| ("l3_cache_schema_root".to_owned(), line)));
            stats.extend(last(&own, "L3").map(|line| ("l3_cache_schema".to_owned(), line)));
        }
        if self.divides_bandwidth() {
            let numbers = ["bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids"];
            stats.insert("mem_bw_info".to_owned(), self.info("MB", &numbers, &[])?);
            stats.extend(last(&all, "MB").map(|line| ("mem_bw_schema_root".to_owned(), line)));
            stats.extend(last(&own, "MB").map(|line| ("mem_bw_schema".to_owned(), line)));
        }
        stats.insert("schemata".to_owned(), own.lines().map(str::to_owned).collect());
        self.add_counters(class.monitor.as_ref().unwrap_or(&class.path), &mut stats)?;
        Ok(stats)
    }

    fn info(&self, folder: &str, numbers: &[&str], texts: &[&str]) -> Result<Value, PathError> {
        let folder = self.root.join("info").join(folder);
        let mut info = Map::new();
        for name in texts {
            info.insert((*name).to_owned(), read(&folder.join(name))?.into());
        }
        for name in numbers {
            info.insert((*name).to_owned(), number(&folder.join(name))?);
        }
        Ok(Value::Object(info))
    }

    /// Counters, one object for each cache that has some.
    fn add_counters(&self, group: &Path, stats: &mut Map<String, Value>) -> Result<(), PathError> {
        let Ok(features) = read(&self.root.join("info/L3_MON/mon_features")) else { return Ok(()) };
        let has = |name: &&&str| features.lines().any(|feature| feature == **name);
        let bandwidth: Vec<_> = ["mbm_total_bytes", "mbm_local_bytes"].iter().filter(has).copied().collect();
        let occupancy: Vec<_> = ["llc_occupancy"].iter().filter(has).copied().collect();
        let data = group.join("mon_data");
        let mut domains: Vec<_> = std::fs::read_dir(&data)
            .map_err(PathError::at("list", &data))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        domains.sort_unstable();
        for (key, names) in [("mbm_stats", bandwidth), ("cmt_stats", occupancy)] {
            if names.is_empty() {
                continue;
            }
            let counters = domains.iter().map(|domain| {
                let values = names.iter().map(|name| Ok(((*name).to_owned(), number(&domain.join(name))?)));
                values.collect::<Result<Map<_, _>, PathError>>().map(Value::Object)
            });
            stats.insert(key.to_owned(), counters.collect::<Result<Value, _>>()?);
        }
        Ok(())
    }
}

fn number(path: &Path) -> Result<Value, PathError> {
    Ok(json!(read(path)?.parse::<u64>().unwrap_or_default()))
}
