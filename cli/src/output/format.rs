//! Lists of things as tables, JSON lines, or whatever `--format` says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::table;
use super::template::{Datum, Missing, Mode, Record, Template};
use crate::error::Failure;

/// The columns that a kind of row has.
#[derive(Debug)]
pub(crate) struct Columns {
    /// Docker's name of the row's type, for error messages.
    pub(crate) type_name: &'static str,
    /// Each field with its heading.
    pub(crate) headers: &'static [(&'static str, &'static str)],
}

/// One row: a value for each column, and labels for `.Label`.
#[derive(Debug)]
pub(crate) struct Row {
    columns: &'static Columns,
    values: BTreeMap<&'static str, Value>,
    labels: BTreeMap<String, String>,
}

impl Row {
    /// A row without values.
    pub(crate) fn new(columns: &'static Columns) -> Self {
        Self { columns, values: BTreeMap::new(), labels: BTreeMap::new() }
    }

    /// Sets a column.
    pub(crate) fn set(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.insert(name, value.into());
        self
    }

    /// Sets `Labels`, and what `.Label` answers.
    pub(crate) fn labels(mut self, labels: BTreeMap<String, String>) -> Self {
        let joined: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.labels = labels;
        self.set("Labels", joined.join(","))
    }
}

impl Record for Row {
    fn type_name(&self) -> &str {
        self.columns.type_name
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.values.get(name).cloned()
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        match (name, arguments) {
            ("Label", [Value::String(label)]) => {
                Some(self.labels.get(label).cloned().unwrap_or_default().into())
            }
            _ => None,
        }
    }

    fn json(&self) -> Value {
        self.values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }
}

/// The heading line of a table, as a row.
#[derive(Debug)]
struct Header(&'static Columns);

impl Record for Header {
    fn type_name(&self) -> &str {
        "formatter.SubHeaderContext"
    }

    fn field(&self, name: &str) -> Option<Value> {
        let found = self.0.headers.iter().find(|(field, _)| *field == name);
        // What has no heading of its own is an empty one.
        Some(found.map_or(Value::String(String::new()), |(_, heading)| (*heading).into()))
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        // `.Label "com.example.owner"` is headed `owner`-like, as Docker does.
        match (name, arguments) {
            ("Label", [Value::String(label)]) => {
                let last = label.rsplit('.').next().unwrap_or(label);
                Some(last.replace(['-', '_'], " ").into())
            }
            _ => None,
        }
    }

    fn json(&self) -> Value {
        self.0.headers.iter().map(|(key, heading)| ((*key).to_owned(), Value::from(*heading))).collect()
    }
}

/// A format that was asked for, or a default.
#[derive(Debug)]
pub(crate) struct Format {
    template: Template,
    table: bool,
}

impl Format {
    /// Reads `source`: `table TEMPLATE`, `json`, or a template.
    pub(crate) fn parse(source: &str) -> Result<Self, Failure> {
        let (table, source) = match source.strip_prefix("table") {
            Some(rest) => (true, rest),
            None => (false, if source == "json" { "{{json .}}" } else { source }),
        };
        let source = source.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n");
        Ok(Self { template: Template::parse(&source)?, table })
    }

    /// Whether a column is shown.
    pub(crate) fn mentions(&self, column: &str) -> bool {
        self.template.mentions(column)
    }

    /// The text of `rows`.
    pub(crate) fn render(&self, columns: &'static Columns, rows: &[Row]) -> Result<String, Failure> {
        let mut body = String::new();
        for row in rows {
            let done = self.template.execute(Datum::Record(row), Mode::Data, Missing::Typed, &mut body);
            done.map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
            body.push('\n');
        }
        if !self.table {
            return Ok(body);
        }
        let mut text = String::new();
        // A heading cannot go through every function that a row can; what it lacks stays empty.
        drop(self.template.execute(Datum::Record(&Header(columns)), Mode::Header, Missing::Typed, &mut text));
        text.push('\n');
        text.push_str(&body);
        Ok(table::align(&text))
    }
}

/// Whether the format asked for is the default table (`""`, or the bare word `table`).
pub(crate) fn is_default(format: &str) -> bool {
    matches!(format, "" | "table")
}

/// Executes `format` on one document; what is no template is `json`.
pub(crate) fn document(format: &str, value: &Value, missing: Missing) -> Result<String, Failure> {
    let source = if format == "json" { "{{json .}}" } else { format };
    let mut out = String::new();
    Template::parse(source)?.execute(Datum::document(value), Mode::Data, missing, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Columns, Format, Row};

    static COLUMNS: Columns = Columns {
        type_name: "*formatter.TestContext",
        headers: &[("ID", "CONTAINER ID"), ("Names", "NAMES"), ("Labels", "LABELS")],
    };

    fn rows() -> Vec<Row> {
        let labels = [("com.example.some-owner".to_owned(), "me".to_owned())].into();
        vec![Row::new(&COLUMNS).set("ID", "0123456789ab").set("Names", "web").labels(labels)]
    }

    fn render(format: &str) -> Result<String, String> {
        Format::parse(format)
            .and_then(|format| format.render(&COLUMNS, &rows()))
            .map_err(|failure| failure.message().to_owned())
    }

    #[test]
    fn tables_have_headings() {
        assert_eq!(
            render("table {{.ID}}\\t{{.Names}}").as_deref(),
            Ok("CONTAINER ID   NAMES\n0123456789ab   web\n")
        );
        assert_eq!(
            render("table {{upper .Names}}\t{{.Label \"com.example.some-owner\"}}").as_deref(),
            Ok("NAMES     some owner\nWEB       me\n")
        );
    }

    #[test]
    fn json_is_sorted() {
        assert_eq!(
            render("json").as_deref(),
            Ok("{\"ID\":\"0123456789ab\",\"Labels\":\"com.example.some-owner=me\",\"Names\":\"web\"}\n")
        );
    }

    #[test]
    fn unknown_columns_are_errors() {
        assert_eq!(
            render("{{.Nope}}"),
            Err("failed to execute template: template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type *formatter.TestContext".into())
        );
    }
}
