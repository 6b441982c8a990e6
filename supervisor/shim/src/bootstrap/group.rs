//! Which containers share a shim: those of one pod.

use std::collections::BTreeMap;
use std::path::Path;

use dhow_linux::file::read_limited;
use serde::Deserialize;

/// The annotations that name a group, the first one found first.
const LABELS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// The largest `config.json` that is read.
const SPEC_LIMIT: u64 = 16 << 20;

/// What of a spec tells its group.
#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// The group that the bundle at `bundle` belongs to: the one its spec names, or `id` alone.
///
/// A sandbox may have no spec, and a spec that cannot be read is refused by the runtime in clearer words than here.
pub(super) fn of_bundle(bundle: &Path, id: &str) -> String {
    let spec = read_limited(&bundle.join("config.json"), SPEC_LIMIT).ok();
    let spec: Spec = spec.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
    let mut annotations = spec.annotations.unwrap_or_default();
    LABELS
        .into_iter()
        .filter_map(|label| annotations.remove(label))
        .find(|group| !group.is_empty())
        .unwrap_or_else(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_names_the_group() {
        let bundle = tempfile::tempdir().expect("a folder");
        let of = |spec: &str| {
            std::fs::write(bundle.path().join("config.json"), spec).expect("write");
            of_bundle(bundle.path(), "own")
        };
        assert_eq!(of_bundle(bundle.path(), "own"), "own");
        assert_eq!(of("{}"), "own");
        assert_eq!(of("{"), "own");
        assert_eq!(of(r#"{"annotations":null}"#), "own");
        assert_eq!(of(r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod"}}"#), "pod");
        let both =
            r#"{"annotations":{"io.kubernetes.cri.sandbox-id":"pod","io.containerd.runc.v2.group":"g"}}"#;
        assert_eq!(of(both), "g");
    }
}
