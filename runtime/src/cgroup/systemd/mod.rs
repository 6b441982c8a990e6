//! Cgroups owned by systemd: a transient scope per container, in the slice that `slice:prefix:name` names.
//!
//! systemd makes a scope only around a process. So that the container can be created, limited and joined like any
//! other, a [`Sleeper`] goes first and leaves once the container's own process is inside ([`Unit::settle`]).

mod properties;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use cgroups_rs::systemd::{SystemdClient, utils::expand_slice};
use dhow_linux::file::{PathError, read_limited};
use dhow_linux::sleeper::Sleeper;
use oci_spec::runtime::LinuxResources;

use super::limit::LimitError;

/// How long systemd may take to make a scope.
const PATIENCE: Duration = Duration::from_secs(30);

/// systemd and we could not agree.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemdError {
    /// The path is not of systemd's form.
    #[error(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {0:?} instead"
    )]
    Form(String),
    /// The slice's name cannot be one.
    #[error("invalid slice name: {0}")]
    Slice(String),
    /// No systemd runs here.
    #[error("systemd cgroup flag passed, but systemd support for managing cgroups is not available")]
    NotRunning,
    /// The user's own systemd is not spoken to.
    #[error("rootless containers cannot use --systemd-cgroup: only the system's systemd is asked")]
    Rootless,
    /// The process that goes first could not be made.
    #[error("make the first process of unit {unit}")]
    Sleeper {
        /// Which unit.
        unit: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// systemd answered with an error.
    #[error("unable to {action} unit {unit}")]
    Unit {
        /// `start`, `stop` or `set properties of`.
        action: &'static str,
        /// Which unit.
        unit: String,
        /// systemd's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The scope did not come in time.
    #[error("Timeout waiting for systemd to create {0}")]
    Timeout(String),
    /// A limit has no meaning.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A list of CPUs or memory nodes has another form.
    #[error("invalid list of CPUs or memory nodes {0:?}")]
    List(String),
    /// The kernel's view cannot be read.
    #[error(transparent)]
    File(#[from] PathError),
}

/// The unit of one container.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    name: String,
    slice: String,
    sleeper: Option<Rc<Sleeper>>,
}

impl Unit {
    /// The unit that `cgroups_path` asks for, or the one of container `id`.
    pub(super) fn parse(cgroups_path: Option<&Path>, id: &str, rootless: bool) -> Result<Self, SystemdError> {
        if rootless {
            return Err(SystemdError::Rootless);
        }
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(SystemdError::NotRunning);
        }
        let text = cgroups_path.map(|path| path.to_string_lossy()).unwrap_or_default();
        let (slice, name) = names(&text, id)?;
        Ok(Self { name, slice, sleeper: None })
    }

    /// The unit `name` of a container that exists.
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), slice: String::new(), sleeper: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where systemd puts it: `/a.slice/a-b.slice/prefix-name.scope`.
    pub(super) fn path(&self) -> Result<PathBuf, SystemdError> {
        let slice = expand_slice(&self.slice).map_err(|_| SystemdError::Slice(self.slice.clone()))?;
        Ok(Path::new("/").join(slice).join(&self.name))
    }

    /// Has systemd make the unit, and waits until it is there.
    pub(super) fn start(&mut self, resources: Option<&LinuxResources>, v2: bool) -> Result<(), SystemdError> {
        let sleeper =
            Sleeper::spawn().map_err(|source| SystemdError::Sleeper { unit: self.name.clone(), source })?;
        let mut list = properties::of_unit(&self.name, &self.slice, sleeper.pid().cast_unsigned());
        if let Some(resources) = resources {
            list.extend(properties::of_resources(resources, v2)?);
        }
        let client = SystemdClient::new(&self.name, list).map_err(self.failed("start"))?;
        client.start().map_err(self.failed("start"))?;
        self.wait_for(sleeper.pid())?;
        self.sleeper = Some(Rc::new(sleeper));
        Ok(())
    }

    /// systemd answers before it has moved the process.
    fn wait_for(&self, pid: i32) -> Result<(), SystemdError> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        while !String::from_utf8_lossy(&read_limited(&path, 1 << 20)?).contains(&self.name) {
            if Instant::now() > deadline {
                return Err(SystemdError::Timeout(self.name.clone()));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The container's own process is inside: the first one may leave.
    pub(super) fn settle(&mut self) {
        self.sleeper = None;
    }

    pub(super) fn update(&self, resources: &LinuxResources, v2: bool) -> Result<(), SystemdError> {
        let list = properties::of_resources(resources, v2)?;
        if list.is_empty() {
            return Ok(());
        }
        let mut client =
            SystemdClient::new(&self.name, Vec::new()).map_err(self.failed("set properties of"))?;
        client.set_properties(&list).map_err(self.failed("set properties of"))
    }

    pub(super) fn stop(&self) -> Result<(), SystemdError> {
        let client = SystemdClient::new(&self.name, Vec::new()).map_err(self.failed("stop"))?;
        // A scope ends with its last process; only one that did not needs a word.
        if client.exists() { client.stop().map_err(self.failed("stop")) } else { Ok(()) }
    }

    fn failed<E: std::error::Error + Send + Sync + 'static>(
        &self,
        action: &'static str,
    ) -> impl FnOnce(E) -> SystemdError + use<E> {
        let unit = self.name.clone();
        move |source| SystemdError::Unit { action, unit, source: Box::new(source) }
    }
}

/// Slice and unit name.
fn names(path: &str, id: &str) -> Result<(String, String), SystemdError> {
    let (slice, prefix, name) = if path.is_empty() {
        ("", "runc", id)
    } else {
        let mut parts = path.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(slice), Some(prefix), Some(name), None) => (slice, prefix, name),
            _ => return Err(SystemdError::Form(path.to_owned())),
        }
    };
    let slice = if slice.is_empty() { "system.slice" } else { slice };
    let unit = if name.ends_with(".slice") { name.to_owned() } else { format!("{prefix}-{name}.scope") };
    // A unit's name is one path component, here and in systemd.
    if unit.contains('/') || slice.contains('/') {
        return Err(SystemdError::Form(path.to_owned()));
    }
    Ok((slice.to_owned(), unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_three_parts() {
        let two = |slice: &str, unit: &str| Some((slice.to_owned(), unit.to_owned()));
        assert_eq!(names("", "c1").ok(), two("system.slice", "runc-c1.scope"));
        assert_eq!(names("a-b.slice:docker:c1", "x").ok(), two("a-b.slice", "docker-c1.scope"));
        assert_eq!(names(":p:c1", "x").ok(), two("system.slice", "p-c1.scope"));
        assert_eq!(names("a.slice::pod.slice", "x").ok(), two("a.slice", "pod.slice"));
        for bad in ["/docker/c1", "a:b", "a:b:c:d", "a:b:../c"] {
            names(bad, "x").expect_err(bad);
        }
    }

    #[test]
    fn slices_nest_by_their_names() {
        let unit = Unit { name: "p-c.scope".to_owned(), slice: "a-b.slice".to_owned(), sleeper: None };
        assert_eq!(unit.path().expect("path"), Path::new("/a.slice/a-b.slice/p-c.scope"));
        Unit { slice: "a--b.slice".to_owned(), ..unit }.path().expect_err("an empty part");
    }
}
