//! `spec`: a configuration to start from.

use std::path::{Path, PathBuf};

use clap::Args;
use dhow_linux::file::{self, Durability};

use super::{Outcome, Refusal, Verb};
use crate::options::Global;

/// What the file is called in a bundle.
const NAME: &str = "config.json";

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// path to the root of the bundle directory
    #[arg(long, short)]
    bundle: Option<PathBuf>,
    /// generate a configuration for a rootless container
    #[arg(long)]
    rootless: bool,
}

impl Verb for SpecArgs {
    const NAME: &str = "spec";
    const HELP: &str = "create a new specification file";

    fn run(self, _: &Global) -> Outcome {
        let folder = self.bundle.unwrap_or_else(|| PathBuf::from("."));
        let path = folder.join(NAME);
        if path.symlink_metadata().is_ok() {
            return Err(Refusal(format!("File {NAME} exists. Remove it first")).into());
        }
        let text = if self.rootless { rootless() } else { rootful(is_v2()) };
        file::replace(&path, text.as_bytes(), 0o644, Durability::Disk)?;
        Ok(0)
    }
}

/// Where cgroup2 is all there is, a container sees its own part of it only.
fn is_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

fn rootful(v2: bool) -> String {
    let mut kinds = vec!["pid", "network", "ipc", "uts", "mount"];
    if v2 {
        kinds.push("cgroup");
    }
    let resources = r#"
		"resources": {
			"devices": [
				{
					"allow": false,
					"access": "rwm"
				}
			]
		},"#;
    let sys = mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]);
    fill(
        &kinds,
        resources,
        &sys,
        r#""mode=0620",
				"gid=5""#,
    )
}

/// No network namespace and no limits: the caller has no right to either. Only the caller's own ID exists inside.
fn rootless() -> String {
    let mut kinds = vec!["pid", "ipc", "uts", "mount"];
    if is_v2() {
        kinds.push("cgroup");
    }
    kinds.push("user");
    let mapping = |name: &str, id: u32| {
        format!(
            r#"
		"{name}": [
			{{
				"containerID": 0,
				"hostID": {id},
				"size": 1
			}}
		],"#
        )
    };
    let uid = mapping("uidMappings", rustix::process::geteuid().as_raw());
    let gid = mapping("gidMappings", rustix::process::getegid().as_raw());
    let sys = mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]);
    fill(&kinds, &(uid + &gid), &sys, r#""mode=0620""#)
}

fn fill(kinds: &[&str], linux: &str, sys: &str, pts: &str) -> String {
    let namespaces: Vec<_> =
        kinds.iter().map(|kind| format!("\t\t\t{{\n\t\t\t\t\"type\": \"{kind}\"\n\t\t\t}}")).collect();
    include_str!("spec.json.in")
        .replace("@VERSION@", crate::spec::VERSION)
        .replace("@PTS@", pts)
        .replace("@SYS@", sys)
        .replace("@LINUX@", linux)
        .replace("@NAMESPACES@", &namespaces.join(",\n"))
}

fn mount(destination: &str, fstype: &str, source: &str, options: &[&str]) -> String {
    let options: Vec<_> = options.iter().map(|option| format!("\t\t\t\t\"{option}\"")).collect();
    let options = options.join(",\n");
    format!(
        "\"destination\": \"{destination}\",\n\t\t\t\"type\": \"{fstype}\",\n\t\t\t\"source\": \"{source}\",\n\t\t\t\"options\": [\n{options}\n\t\t\t]"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_configurations_that_we_take() {
        for text in [rootful(false), rootful(true), rootless()] {
            let spec: crate::spec::Spec = serde_json::from_str(&text).expect("a configuration");
            crate::validate::process(spec.process.as_ref()).expect("a process");
        }
    }

    #[test]
    fn a_rootless_container_has_only_what_its_owner_may_give() {
        let value: serde_json::Value = serde_json::from_str(&rootless()).expect("json");
        let kinds = value["linux"]["namespaces"].as_array().expect("namespaces");
        let has = |kind: &str| kinds.iter().any(|namespace| namespace["type"] == kind);
        assert!(has("user") && !has("network"));
        assert_eq!(value["linux"]["uidMappings"][0]["size"], 1);
        assert!(value["linux"].get("resources").is_none());
        assert!(!rootless().contains("gid=5"));
    }
}
