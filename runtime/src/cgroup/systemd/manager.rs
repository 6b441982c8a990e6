//! The systemd that owns the unit: the system's, or the user's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::properties::Properties;
use crate::dbus::{Address, BusError, Call, Connection, Value};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// How long systemd may take for a job.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose systemd it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The machine's.
    System,
    /// The caller's own, which limits what was delegated to it.
    User,
}

/// A connection to it.
#[derive(Debug)]
pub(super) struct Manager {
    bus: Connection,
}

impl Manager {
    /// Connects: straight to systemd where we may, else through the bus.
    pub(super) fn connect(owner: Owner) -> Result<Self, BusError> {
        let mut failure = BusError::Address(String::new());
        for address in addresses(owner) {
            match Connection::open(&address?) {
                Ok(bus) => return Ok(Self { bus }),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn call(&mut self, method: &str, arguments: Vec<Value>) -> Result<Vec<Value>, BusError> {
        self.bus.call(&Call { destination: NAME, path: PATH, interface: MANAGER, method, arguments })
    }

    /// Calls a method that gives a job, and waits for what becomes of it: `done`, `failed`, `canceled` …
    fn job(&mut self, method: &str, arguments: Vec<Value>) -> Result<String, BusError> {
        self.bus.subscribe(MANAGER, "JobRemoved")?;
        let answer = self.call(method, arguments)?;
        let job = answer.first().and_then(Value::as_text).ok_or(BusError::Malformed)?;
        self.bus.wait_for(MANAGER, "JobRemoved", PATIENCE, |arguments| match arguments {
            [_, Value::Path(path), _, Value::String(result)] if path == job => Some(result.clone()),
            _ => None,
        })
    }

    /// Makes a unit; gives the job's result.
    pub(super) fn start(&mut self, unit: &str, properties: &Properties) -> Result<String, BusError> {
        let none = Value::Array("(sa(sv))".to_owned(), Vec::new());
        let arguments = vec![Value::text(unit), Value::text("replace"), list(properties), none];
        self.job("StartTransientUnit", arguments)
    }

    /// Ends a unit; gives the job's result.
    pub(super) fn stop(&mut self, unit: &str) -> Result<String, BusError> {
        self.job("StopUnit", vec![Value::text(unit), Value::text("replace")])
    }

    /// Has systemd forget that a unit failed.
    pub(super) fn reset_failed(&mut self, unit: &str) -> Result<(), BusError> {
        self.call("ResetFailedUnit", vec![Value::text(unit)]).map(drop)
    }

    /// Changes properties until the next boot.
    pub(super) fn set(&mut self, unit: &str, properties: &Properties) -> Result<(), BusError> {
        let arguments = vec![Value::text(unit), Value::Bool(true), list(properties)];
        self.call("SetUnitProperties", arguments).map(drop)
    }

    /// Moves a process into a unit's cgroup, or into `below` in it.
    pub(super) fn attach(&mut self, unit: &str, below: &str, pid: u32) -> Result<(), BusError> {
        let pids = Value::Array("u".to_owned(), vec![Value::U32(pid)]);
        let below = format!("/{}", below.trim_matches('/'));
        self.call("AttachProcessesToUnit", vec![Value::text(unit), Value::text(below), pids]).map(drop)
    }

    fn property(&mut self, name: &str) -> Result<String, BusError> {
        let interface = "org.freedesktop.DBus.Properties";
        let arguments = vec![Value::text(MANAGER), Value::text(name)];
        let call = Call { destination: NAME, path: PATH, interface, method: "Get", arguments };
        match self.bus.call(&call)?.as_slice() {
            [Value::Variant(value)] => value.as_text().map(str::to_owned).ok_or(BusError::Malformed),
            _ => Err(BusError::Malformed),
        }
    }

    /// Its version, as 252; 0 when it does not say.
    pub(super) fn version(&mut self) -> u32 {
        parse_version(&self.property("Version").unwrap_or_default())
    }

    /// Its own cgroup, below which all its units are.
    pub(super) fn control_group(&mut self) -> Result<PathBuf, BusError> {
        self.property("ControlGroup").map(PathBuf::from)
    }
}

fn list(properties: &Properties) -> Value {
    let pair = |(name, value): &(String, Value)| {
        Value::Struct(vec![Value::text(name.as_str()), value.clone().boxed()])
    };
    Value::Array("(sv)".to_owned(), properties.iter().map(pair).collect())
}

/// `252.38-1~deb12u1`, `v245`.
pub(super) fn parse_version(text: &str) -> u32 {
    let text = text.trim_start_matches(['"', 'v']);
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn addresses(owner: Owner) -> Vec<Result<Address, BusError>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut addresses = Vec::new();
    match owner {
        Owner::System => {
            addresses.push(Ok(Address::Direct("/run/systemd/private".into())));
            let named = variable("DBUS_SYSTEM_BUS_ADDRESS").map(|address| Address::parse(&address));
            addresses.push(named.unwrap_or_else(|| Ok(Address::Bus("/run/dbus/system_bus_socket".into()))));
        }
        Owner::User => {
            let runtime = variable("XDG_RUNTIME_DIR");
            let below = |relative: &str| runtime.as_deref().map(|folder| Path::new(folder).join(relative));
            addresses.extend(below("systemd/private").map(|path| Ok(Address::Direct(path))));
            addresses.extend(variable("DBUS_SESSION_BUS_ADDRESS").map(|address| Address::parse(&address)));
            addresses.extend(below("bus").map(|path| Ok(Address::Bus(path))));
        }
    }
    addresses
}
