//! Intel RDT (`linux.intelRdt`): shares of the last-level cache and of memory bandwidth, through the resctrl file
//! system of the host.
//!
//! ```text
//! ROOT/CLOS/schemata, tasks                  the class of service: the container's id, or closID
//! ROOT/CLOS/mon_groups/ID/tasks, mon_data    its own counters (enableMonitoring)
//! ```
//! A class that the caller names (closID) is shared with others and stays; one of our own goes with the container.

mod stats;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dhow_linux::file::{PathError, read_limited};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::spec::IntelRdt;

/// Where the kernel expects the file system; it may be mounted elsewhere.
const USUAL: &str = "/sys/fs/resctrl";
/// statfs's magic number of resctrl.
const MAGIC: u64 = 0x0765_5821;
/// Files of resctrl are short.
const LONGEST: u64 = 1 << 20;

/// The container's class cannot be made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResctrlError {
    /// The configuration asks for what the kernel or the machine lacks.
    #[error("{0}")]
    Unavailable(String),
    /// A class that should exist already does not.
    #[error(
        "clos dir not accessible (must be pre-created when schemata, l3CacheSchema and memBwSchema are empty)"
    )]
    NoClass(#[source] PathError),
    /// The kernel refuses; it also says why.
    #[error("intelrdt: {action}, last_cmd_status: {status}")]
    Refused {
        /// What was being done.
        action: &'static str,
        /// What the kernel says about it.
        status: String,
        /// Its answer.
        source: PathError,
    },
    /// A class that others share has other limits.
    #[error("intelrdt: clos {} exists, and its schemata do not match {asked:?}", path.display())]
    Differs {
        /// The class.
        path: PathBuf,
        /// What it should have.
        asked: String,
    },
    /// A file of it.
    #[error(transparent)]
    File(#[from] PathError),
}

/// The mounted file system.
#[derive(Debug)]
pub(crate) struct Resctrl {
    root: PathBuf,
}

/// The class of service of one container, as its state document keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Class {
    /// Its folder.
    pub(crate) path: PathBuf,
    /// The folder of its own counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitor: Option<PathBuf>,
    /// Whether it is only there for this container.
    pub(crate) own: bool,
}

impl Resctrl {
    /// Finds it, when it is mounted.
    pub(crate) fn find() -> Option<Self> {
        let usual = rustix::fs::statfs(USUAL).ok()?;
        if u64::try_from(usual.f_type) == Ok(MAGIC) {
            return Some(Self { root: USUAL.into() });
        }
        let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = table.lines().find(|line| line.contains(" - resctrl "))?;
        Some(Self { root: mount.split(' ').nth(4)?.into() })
    }

    /// Whether the cache can be divided.
    pub(crate) fn divides_cache(&self) -> bool {
        self.root.join("info/L3").exists()
    }

    /// Whether memory bandwidth can be divided.
    pub(crate) fn divides_bandwidth(&self) -> bool {
        self.root.join("info/MB").exists()
    }

    /// Checks what `asked` needs.
    pub(crate) fn check(resctrl: Option<&Self>, asked: &IntelRdt) -> Result<(), ResctrlError> {
        let refuse = |text: &str| Err(ResctrlError::Unavailable(text.to_owned()));
        let Some(resctrl) = resctrl else {
            return refuse("intelRdt is specified in config, but Intel RDT is not enabled");
        };
        let class = asked.clos_id.as_str();
        if class == "." || class == ".." || class.len() > 1 && class.contains('/') {
            return refuse(&format!("invalid intelRdt.ClosID {class:?}"));
        }
        let lines = [&asked.l3_cache_schema, &asked.mem_bw_schema].into_iter().chain(&asked.schemata);
        if let Some(line) = lines.into_iter().find(|line| line.contains('\n')) {
            return refuse(&format!("intelRdt: a schema has several lines: {line:?}"));
        }
        if !asked.mem_bw_schema.is_empty() && !asked.mem_bw_schema.starts_with("MB:") {
            return refuse(&format!("invalid intelRdt.memBwSchema {:?}", asked.mem_bw_schema));
        }
        if !asked.l3_cache_schema.is_empty() && !resctrl.divides_cache() {
            return refuse("intelRdt.l3CacheSchema is specified in config, but Intel RDT/CAT is not enabled");
        }
        if !asked.mem_bw_schema.is_empty() && !resctrl.divides_bandwidth() {
            return refuse("intelRdt.memBwSchema is specified in config, but Intel RDT/MBA is not enabled");
        }
        Ok(())
    }

    /// Where the class of container `id` will be, and whether it is going to be its own.
    pub(crate) fn plan(&self, asked: &IntelRdt, id: &str) -> Class {
        let name = if asked.clos_id.is_empty() { id } else { asked.clos_id.trim_start_matches('/') };
        let path = self.root.join(name);
        let monitor = asked.enable_monitoring.then(|| path.join("mon_groups").join(id));
        let own = asked.clos_id.is_empty() && !path.exists();
        Class { path, monitor, own }
    }

    /// Makes the class, and sets what it may use.
    pub(crate) fn create(&self, class: &Class, asked: &IntelRdt) -> Result<(), ResctrlError> {
        if !asked.clos_id.is_empty() && lines(asked).is_empty() {
            std::fs::metadata(&class.path)
                .map_err(PathError::at("stat", &class.path))
                .map_err(ResctrlError::NoClass)?;
        }
        if !asked.clos_id.is_empty() && class.path.exists() {
            compare(class, asked)?;
        }
        for folder in [Some(&class.path), class.monitor.as_ref()].into_iter().flatten() {
            make(folder).map_err(self.refused("unable to make the group"))?;
        }
        self.set(class, asked)
    }

    /// Sets what the class may use.
    pub(crate) fn set(&self, class: &Class, asked: &IntelRdt) -> Result<(), ResctrlError> {
        let schemata = lines(asked);
        if schemata.is_empty() {
            return Ok(());
        }
        write(&class.path.join("schemata"), &schemata).map_err(self.refused("unable to write schemata"))
    }

    /// Moves process `pid`, and what it will start, into the class.
    fn adopt(&self, class: &Class, pid: i32) -> Result<(), ResctrlError> {
        for folder in [Some(&class.path), class.monitor.as_ref()].into_iter().flatten() {
            write(&folder.join("tasks"), &pid.to_string()).map_err(self.refused("unable to add pid"))?;
        }
        Ok(())
    }

    fn refused(&self, action: &'static str) -> impl FnOnce(PathError) -> ResctrlError {
        let status = read(&self.root.join("info/last_cmd_status")).unwrap_or_default();
        move |source| ResctrlError::Refused { action, status, source }
    }
}

impl Class {
    /// Removes what is only there for the container.
    pub(crate) fn remove(&self) -> Result<(), PathError> {
        let folder = if self.own { Some(&self.path) } else { self.monitor.as_ref() };
        let Some(folder) = folder else { return Ok(()) };
        match std::fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PathError::at("rmdir", folder)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Moves process `pid`, and what it will start, into a class.
pub(crate) fn adopt(class: &Class, pid: Pid) -> Result<(), ResctrlError> {
    let Some(resctrl) = Resctrl::find() else {
        return Err(ResctrlError::Unavailable("the resctrl file system is not mounted any more".to_owned()));
    };
    resctrl.adopt(class, pid.as_raw_nonzero().get())
}

/// A class that is there already is somebody else's too: what is asked of it must be what it has.
fn compare(class: &Class, asked: &IntelRdt) -> Result<(), ResctrlError> {
    let wanted = [&asked.l3_cache_schema, &asked.mem_bw_schema].into_iter().filter(|line| !line.is_empty());
    for line in wanted {
        let present = read(&class.path.join("schemata"))?;
        let held = |(domain, value): (String, &str)| {
            present.lines().flat_map(values).any(|(other, its)| other == domain && is_same(its, value))
        };
        if !values(line).all(held) {
            return Err(ResctrlError::Differs { path: class.path.clone(), asked: line.clone() });
        }
    }
    Ok(())
}

/// `L3:0=f;1=3` as `L3:0` with `f` and `L3:1` with `3`.
fn values(line: &str) -> impl Iterator<Item = (String, &str)> {
    let (resource, domains) = line.trim().split_once(':').unwrap_or_default();
    domains.split(';').filter_map(move |domain| {
        let (number, value) = domain.split_once('=')?;
        Some((format!("{resource}:{}", number.trim()), value.trim()))
    })
}

/// Masks come with and without leading zeros.
fn is_same(one: &str, other: &str) -> bool {
    one.trim_start_matches('0').eq_ignore_ascii_case(other.trim_start_matches('0'))
}

/// The lines to write.
fn lines(asked: &IntelRdt) -> String {
    let all = [&asked.l3_cache_schema, &asked.mem_bw_schema].into_iter().chain(&asked.schemata);
    all.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

fn make(folder: &Path) -> Result<(), PathError> {
    match DirBuilder::new().mode(0o755).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(PathError::at("mkdir", folder)(error))
        }
        _ => Ok(()),
    }
}

/// One write: resctrl takes a text whole or not at all.
fn write(path: &Path, text: &str) -> Result<(), PathError> {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(PathError::at("write", path))
}

fn read(path: &Path) -> Result<String, PathError> {
    Ok(String::from_utf8_lossy(&read_limited(path, LONGEST)?).trim().to_owned())
}

#[cfg(test)]
mod tests;
