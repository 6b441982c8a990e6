//! Cgroups owned by systemd: a transient scope per container, in the slice that `slice:prefix:name` names.
//!
//! systemd makes a scope only around a process. So that the container can be created, limited and joined like any
//! other, a [`Sleeper`] goes first and leaves once the container's own process is inside ([`Unit::settle`]).

mod annotation;
mod devices;
mod manager;
mod properties;
mod unified;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dhow_linux::file::PathError;
use dhow_linux::sleeper::Sleeper;
use oci_spec::runtime::LinuxResources;

pub(crate) use self::manager::Owner;

use self::manager::Manager;
use self::properties::{Dialect, Properties};
use super::device::DeviceError;
use super::limit::LimitError;
use crate::dbus::BusError;

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
    /// v1 has no delegation that would be safe.
    #[error("cannot use rootless systemd cgroups manager on cgroup v1")]
    RootlessOnV1,
    /// Nobody answers.
    #[error(
        "failed to connect to dbus (hint: for rootless containers, maybe you need to install dbus-user-session package)"
    )]
    Connect(#[source] BusError),
    /// The process that goes first could not be made.
    #[error("make the first process of unit {unit}")]
    Sleeper {
        /// Which unit.
        unit: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// systemd answered with an error.
    #[error("unable to {action} unit {unit:?}")]
    Unit {
        /// `start`, `stop`, `set properties of` or `attach to`.
        action: &'static str,
        /// Which unit.
        unit: String,
        /// systemd's answer.
        source: BusError,
    },
    /// The scope did not come to be.
    #[error("error creating systemd unit `{unit}`: got `{result}`")]
    Job {
        /// Which unit.
        unit: String,
        /// `failed`, `canceled`, `timeout` …
        result: String,
    },
    /// An annotation names no property.
    #[error("annotation {key} name incorrect: {reason}")]
    AnnotationName {
        /// The annotation.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An annotation's value is no value.
    #[error("annotation {key}={text} value parse error: {reason}")]
    Annotation {
        /// The annotation.
        key: String,
        /// Its value.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A limit has no meaning.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A device rule has no meaning.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A list of CPUs or memory nodes has another form.
    #[error("invalid list of CPUs or memory nodes {0:?}")]
    List(String),
    /// A file of `unified` cannot hold this.
    #[error("unified resource {key:?} value invalid: {value:?}")]
    Unified {
        /// The control file.
        key: String,
        /// What was asked for.
        value: String,
    },
    /// The kernel's view cannot be read.
    #[error(transparent)]
    File(#[from] PathError),
}

/// The unit of one container.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    name: String,
    slice: String,
    owner: Owner,
    asked: Properties,
    sleeper: Option<Rc<Sleeper>>,
}

impl Unit {
    /// The unit that `cgroups_path` asks for, or the one of container `id`.
    pub(super) fn parse(
        cgroups_path: Option<&Path>,
        id: &str,
        annotations: &BTreeMap<String, String>,
        owner: Owner,
    ) -> Result<Self, SystemdError> {
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(SystemdError::NotRunning);
        }
        let asked = annotation::properties(annotations)?;
        let text = cgroups_path.map(|path| path.to_string_lossy()).unwrap_or_default();
        let (slice, name) = names(&text, id, owner)?;
        Ok(Self { name, slice, owner, asked, sleeper: None })
    }

    /// The unit `name` of a container that exists.
    pub(super) fn named(name: &str, owner: Owner) -> Self {
        Self { name: name.to_owned(), slice: String::new(), owner, asked: Vec::new(), sleeper: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Where systemd puts it: `/a.slice/a-b.slice/prefix-name.scope`, below its own cgroup if it is the user's.
    pub(super) fn path(&self) -> Result<PathBuf, SystemdError> {
        let below = expand_slice(&self.slice)?.join(&self.name);
        match self.owner {
            Owner::System => Ok(below),
            Owner::User => {
                let own = self.manager()?.control_group().map_err(self.failed("find the place of"))?;
                Ok(own.join(below.strip_prefix("/").unwrap_or(&below)))
            }
        }
    }

    fn manager(&self) -> Result<Manager, SystemdError> {
        Manager::connect(self.owner).map_err(SystemdError::Connect)
    }

    /// Has systemd make the unit, limited, and waits until it is there.
    pub(super) fn start(&mut self, resources: Option<&LinuxResources>, v2: bool) -> Result<(), SystemdError> {
        let mut manager = self.manager()?;
        let sleeper =
            Sleeper::spawn().map_err(|source| SystemdError::Sleeper { unit: self.name.clone(), source })?;
        let mut list = properties::of_unit(&self.name, &self.slice, sleeper.pid().cast_unsigned(), v2);
        list.extend(self.asked.iter().cloned());
        if let Some(resources) = resources {
            let dialect = Dialect { v2, version: manager.version() };
            list.extend(properties::of_birth(resources, dialect));
            list.extend(properties::of_resources(resources, dialect)?);
        }
        if self.owner == Owner::System {
            list.extend(properties::of_devices(resources)?);
        }
        let mut result = manager.start(&self.name, &list);
        if result.as_ref().is_err_and(|error| error.is("org.freedesktop.systemd1.UnitExists")) {
            // What is left of one that failed may be forgotten; one that runs stays.
            drop(manager.reset_failed(&self.name));
            result = manager.start(&self.name, &list);
        }
        match result.map_err(self.failed("start"))?.as_str() {
            "done" => {
                self.sleeper = Some(Rc::new(sleeper));
                Ok(())
            }
            result => {
                drop(manager.reset_failed(&self.name));
                Err(SystemdError::Job { unit: self.name.clone(), result: result.to_owned() })
            }
        }
    }

    /// The container's own process is inside: the first one may leave.
    pub(super) fn settle(&mut self) {
        self.sleeper = None;
    }

    /// Has systemd move a process in, or into the cgroup `below`: the caller may have no right to.
    pub(super) fn attach(&self, below: &str, pid: i32) -> Result<(), SystemdError> {
        self.manager()?.attach(&self.name, below, pid.cast_unsigned()).map_err(self.failed("attach to"))
    }

    pub(super) fn update(&self, resources: &LinuxResources, v2: bool) -> Result<(), SystemdError> {
        let mut manager = self.manager()?;
        let list = properties::of_resources(resources, Dialect { v2, version: manager.version() })?;
        if list.is_empty() {
            return Ok(());
        }
        manager.set(&self.name, &list).map_err(self.failed("set properties of"))
    }

    /// Ends the unit, and has systemd forget it if it failed.
    pub(super) fn stop(&self) -> Result<(), SystemdError> {
        let mut manager = self.manager()?;
        // A scope ends with its last process; only one that did not needs a word.
        let stopped = match manager.stop(&self.name) {
            Err(error) if error.is("org.freedesktop.systemd1.NoSuchUnit") => return Ok(()),
            stopped => stopped.map_err(self.failed("stop")),
        };
        // Mostly there is nothing to forget, and systemd says that it knows no such unit.
        drop(manager.reset_failed(&self.name));
        stopped.map(drop)
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(BusError) -> SystemdError + use<> {
        let unit = self.name.clone();
        move |source| SystemdError::Unit { action, unit, source }
    }
}

/// Slices nest by their names: `a-b.slice` is at `/a.slice/a-b.slice`, `-.slice` at the top.
fn expand_slice(slice: &str) -> Result<PathBuf, SystemdError> {
    let invalid = || SystemdError::Slice(slice.to_owned());
    let stem = slice.strip_suffix(".slice").filter(|stem| !stem.is_empty() && !stem.contains('/'));
    let stem = stem.ok_or_else(invalid)?;
    let mut path = PathBuf::from("/");
    if stem == "-" {
        return Ok(path);
    }
    for (end, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
        let name = stem.get(..end).filter(|name| !name.is_empty() && !name.ends_with('-'));
        path.push(format!("{}.slice", name.ok_or_else(invalid)?));
    }
    Ok(path)
}

/// Slice and unit name.
fn names(path: &str, id: &str, owner: Owner) -> Result<(String, String), SystemdError> {
    let (slice, prefix, name) = if path.is_empty() {
        ("", "runc", id)
    } else {
        let mut parts = path.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(slice), Some(prefix), Some(name), None) => (slice, prefix, name),
            _ => return Err(SystemdError::Form(path.to_owned())),
        }
    };
    let slice = match (slice, owner) {
        ("", Owner::System) => "system.slice",
        ("", Owner::User) => "user.slice",
        (slice, _) => slice,
    };
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
        let names = |path, id| names(path, id, Owner::System);
        assert_eq!(names("", "c1").ok(), two("system.slice", "runc-c1.scope"));
        assert_eq!(names("a-b.slice:docker:c1", "x").ok(), two("a-b.slice", "docker-c1.scope"));
        assert_eq!(names(":p:c1", "x").ok(), two("system.slice", "p-c1.scope"));
        assert_eq!(names("a.slice::pod.slice", "x").ok(), two("a.slice", "pod.slice"));
        for bad in ["/docker/c1", "a:b", "a:b:c:d", "a:b:../c"] {
            names(bad, "x").expect_err(bad);
        }
        assert_eq!(super::names(":p:c1", "x", Owner::User).ok(), two("user.slice", "p-c1.scope"));
    }

    #[test]
    fn slices_nest_by_their_names() {
        for (slice, path) in
            [("-.slice", "/"), ("a.slice", "/a.slice"), ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice")]
        {
            assert_eq!(expand_slice(slice).expect(slice), Path::new(path));
        }
        for bad in ["a--b.slice", "-a.slice", "a-.slice", ".slice", "a", "a/b.slice", "--.slice"] {
            expand_slice(bad).expect_err(bad);
        }
    }

    #[test]
    fn versions_start_with_their_number() {
        for (text, version) in
            [("252.38-1~deb12u1", 252), ("v245.4", 245), ("\"v245-1.fc32\"", 245), ("x", 0)]
        {
            assert_eq!(manager::parse_version(text), version, "{text}");
        }
    }
}
