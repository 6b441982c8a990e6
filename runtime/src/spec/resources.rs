//! `linux.resources`, where Go's decoder takes more than oci-spec's types do.

use oci_spec::runtime::LinuxResources;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The limits. A `pids` object without a limit limits nothing, and keys of huge pages come in two spellings.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LinuxResources>, D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    repair(&mut value);
    serde_json::from_value(value).map_err(D::Error::custom)
}

/// Brings `resources` into the shape of oci-spec's type.
pub(crate) fn repair(resources: &mut Value) {
    let Some(resources) = resources.as_object_mut() else { return };
    if resources.get("pids").is_some_and(|pids| pids.get("limit").is_none_or(Value::is_null)) {
        resources.remove("pids");
    }
    let pages = resources.get_mut("hugepageLimits").and_then(Value::as_array_mut);
    for page in pages.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(size) = page.remove("pagesize") {
            page.entry("pageSize").or_insert(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gos_spellings_are_understood() {
        let mut value = serde_json::json!({
            "pids": {}, "hugepageLimits": [{"pagesize": "2MB", "limit": 9}, {"pageSize": "1GB", "limit": 0}],
        });
        repair(&mut value);
        let resources: LinuxResources = serde_json::from_value(value).expect("resources");
        assert!(resources.pids().is_none());
        let sizes = resources.hugepage_limits().iter().flatten().map(|page| page.page_size().as_str());
        assert_eq!(sizes.collect::<Vec<_>>(), ["2MB", "1GB"]);
    }
}
