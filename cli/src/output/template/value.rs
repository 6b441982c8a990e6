//! What a template computes with.

use std::borrow::Cow;
use std::fmt::Debug;

use serde_json::{Number, Value};

use crate::output::json;

/// Something with named fields that is not JSON: a row of a table.
pub(crate) trait Record: Debug {
    /// The type's name in error messages (`*formatter.ContainerContext`).
    fn type_name(&self) -> &str;
    /// The value of a field or of a method without arguments.
    fn field(&self, name: &str) -> Option<Value>;
    /// The value of a method with arguments.
    fn call(&self, name: &str, arguments: &[Value]) -> Option<Value>;
    /// What `json` makes of it.
    fn json(&self) -> Value;
}

/// A value while a template runs.
#[derive(Debug, Clone)]
pub(crate) enum Datum<'a> {
    /// Nothing: a map had no such key.
    Absent,
    /// A JSON value whose objects Go would know as structs.
    Struct(Cow<'a, Value>),
    /// A JSON value whose object Go would know as a map.
    Map(Cow<'a, Value>),
    /// A row.
    Record(&'a dyn Record),
}

/// Fields that are maps in Docker's types; objects elsewhere are structs.
const MAPS: [&str; 21] = [
    "Labels",
    "Options",
    "Annotations",
    "Ports",
    "Networks",
    "Sysctls",
    "DriverOpts",
    "Volumes",
    "ExposedPorts",
    "Tmpfs",
    "Config",
    "StorageOpt",
    "PortBindings",
    "Containers",
    "Data",
    "Opts",
    "Status",
    "IndexConfigs",
    "Runtimes",
    "AuxiliaryAddresses",
    "Attributes",
];

impl<'a> Datum<'a> {
    /// A computed value.
    pub(super) fn owned(value: Value) -> Self {
        Self::Struct(Cow::Owned(value))
    }

    /// A borrowed JSON document.
    pub(crate) fn document(value: &'a Value) -> Self {
        Self::Struct(Cow::Borrowed(value))
    }

    /// A computed text.
    pub(super) fn text(value: impl Into<String>) -> Self {
        Self::owned(Value::String(value.into()))
    }

    /// The JSON of this value.
    pub(super) fn value(&self) -> Cow<'_, Value> {
        match self {
            Self::Absent => Cow::Owned(Value::Null),
            Self::Struct(value) | Self::Map(value) => Cow::Borrowed(value),
            Self::Record(record) => Cow::Owned(record.json()),
        }
    }

    /// The member `name`, with what Go would think it is.
    pub(super) fn member(&self, name: &str) -> Option<Self> {
        let found = match self {
            Self::Absent => return None,
            Self::Record(record) => Cow::Owned(record.field(name)?),
            Self::Struct(Cow::Borrowed(value)) | Self::Map(Cow::Borrowed(value)) => {
                Cow::Borrowed(value.get(name)?)
            }
            Self::Struct(Cow::Owned(value)) | Self::Map(Cow::Owned(value)) => {
                Cow::Owned(value.get(name)?.clone())
            }
        };
        let map = is_map(name, &found);
        Some(if map { Datum::Map(found) } else { Datum::Struct(found) })
    }

    /// Go's truth.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Absent => false,
            Self::Record(_) => true,
            Self::Struct(value) | Self::Map(value) => match &**value {
                Value::Null => false,
                Value::Bool(value) => *value,
                Value::Number(value) => value.as_f64() != Some(0.0),
                Value::String(value) => !value.is_empty(),
                Value::Array(value) => !value.is_empty(),
                Value::Object(value) => matches!(self, Self::Struct(_)) || !value.is_empty(),
            },
        }
    }

    /// The value as `{{.}}` prints it.
    pub(super) fn print(&self) -> String {
        match self {
            Self::Absent => "<no value>".into(),
            Self::Struct(value) => print(value, false),
            Self::Map(value) => print(value, true),
            Self::Record(record) => json::compact(&record.json()),
        }
    }

    /// The name Go has for this kind of value.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Absent => "<nil>".into(),
            Self::Record(record) => record.type_name().into(),
            Self::Map(value) if value.is_object() => "map[string]interface {}".into(),
            Self::Struct(value) | Self::Map(value) => match &**value {
                Value::Null => "<nil>".into(),
                Value::Bool(_) => "bool".into(),
                Value::Number(number) if number.is_f64() => "float64".into(),
                Value::Number(_) => "int".into(),
                Value::String(_) => "string".into(),
                Value::Array(_) => "[]interface {}".into(),
                Value::Object(_) => "map[string]interface {}".into(),
            },
        }
    }
}

/// Whether the object of the field `name` is a map. `Config` is one of a log driver, not of a
/// container.
fn is_map(name: &str, value: &Value) -> bool {
    value.is_object() && MAPS.contains(&name) && !(name == "Config" && value.get("Image").is_some())
}

/// A number as Go's `%v` prints it.
pub(super) fn number(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(value) if value.fract() == 0.0 && value.abs() < 1e21 => format!("{value:.0}"),
        Some(value) => value.to_string(),
        None => number.to_string(),
    }
}

fn print(value: &Value, map: bool) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => number(value),
        Value::String(value) => value.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| print(item, false)).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) if map => {
            let mut keys: Vec<_> = fields.keys().collect();
            keys.sort();
            let fields: Vec<_> =
                keys.iter().map(|key| format!("{key}:{}", print(&fields[*key], true))).collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(key, value)| print(value, is_map(key, value))).collect();
            format!("{{{}}}", fields.join(" "))
        }
    }
}
