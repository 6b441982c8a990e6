//! `list`: the containers below the root.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use clap::{Args, ValueEnum};
use dhow_linux::file::PathError;

use super::state::Document;
use super::{Outcome, Verb, open};
use crate::container::ContainerId;
use crate::options::Global;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// how to show them
    #[arg(long, short, value_enum, default_value_t)]
    format: ListFormat,
    /// display only container IDs
    #[arg(long, short)]
    quiet: bool,
}

/// The two ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

impl Verb for ListArgs {
    const NAME: &str = "list";
    const HELP: &str = "lists containers started by runc with the given root";

    fn run(self, global: &Global) -> Outcome {
        let documents = collect(global)?;
        let mut stdout = std::io::stdout().lock();
        if self.quiet {
            for document in &documents {
                writeln!(stdout, "{}", document.id)?;
            }
            return Ok(0);
        }
        match self.format {
            ListFormat::Table => stdout.write_all(table(&documents).as_bytes())?,
            // Go encodes a list that was never made as null; callers know that.
            ListFormat::Json if documents.is_empty() => stdout.write_all(b"null\n")?,
            ListFormat::Json => writeln!(stdout, "{}", serde_json::to_string(&documents)?)?,
        }
        Ok(0)
    }
}

fn collect(global: &Global) -> Result<Vec<Document>, super::Failure> {
    let entries = match std::fs::read_dir(&global.root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !global.root_given => {
            return Ok(Vec::new());
        }
        other => other.map_err(PathError::at("open", &global.root))?,
    };
    let mut documents = Vec::new();
    for entry in entries {
        let entry = entry.map_err(PathError::at("read", &global.root))?;
        // Gone in the meantime, or none of ours.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_dir() {
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        let described = name
            .parse::<ContainerId>()
            .map_err(super::Failure::from)
            .and_then(|id| Ok(Document::of(&open(global, &id)?, owner(metadata.uid()))?));
        match described {
            Ok(document) => documents.push(document),
            Err(error) => {
                drop(
                    std::io::stderr()
                        .write_all(format!("load container {name}: {}\n", error.text()).as_bytes()),
                );
            }
        }
    }
    documents.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    Ok(documents)
}

/// The name of a user of the host, or its number.
fn owner(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("#{uid}"))
}

/// Columns at least 12 wide, 3 apart, the last one as it is.
fn table(documents: &[Document]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |one: &Document| {
        let bundle = one.bundle.display().to_string();
        [
            one.id.clone(),
            one.pid.to_string(),
            one.status.to_owned(),
            bundle,
            one.created.clone(),
            one.owner.clone(),
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(documents.iter().map(row)).collect();
    let mut widths = [0_usize; 6];
    for cells in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count() + 3).max(12);
        }
    }
    let mut text = String::new();
    for cells in &rows {
        for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if place == 5 {
                text.push_str(cell);
            } else {
                text.push_str(&format!("{cell:width$}"));
            }
        }
        text.push('\n');
    }
    text
}
