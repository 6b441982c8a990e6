//! Help texts in Docker's layout.

use clap::{Arg, ArgAction};

use super::catalog::{CATALOG, GROUPS};
use super::{Entry, parse};
use crate::session::GlobalOptions;
use crate::terminal;

/// Least columns that flags' help is wrapped to.
const MIN_COLUMNS: usize = 40;
/// Columns when the output is no terminal.
const DEFAULT_COLUMNS: usize = 80;

/// Commands that are shown first.
const COMMON: [&str; 11] =
    ["run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version"];

/// `dhow --help`
pub(super) fn root(program: &str) -> String {
    let mut text =
        format!("Usage:  {program} [OPTIONS] COMMAND\n\nRun containers and manage what they need\n");
    let line = |name: &str, about: &str| format!("  {name:<11} {about}\n");
    let short = |name: &str| CATALOG.iter().find(|entry| entry.names.contains(&name));
    text.push_str("\nCommon Commands:\n");
    for name in COMMON.iter().chain(&["info"]) {
        if let Some(entry) = short(name) {
            text.push_str(&line(name, entry.about));
        }
    }
    text.push_str("\nManagement Commands:\n");
    for (name, about) in GROUPS {
        text.push_str(&line(name, about));
    }
    text.push_str("\nCommands:\n");
    let mut rest: Vec<_> = CATALOG
        .iter()
        .filter_map(|entry| Some((*entry.names.iter().find(|name| !name.contains(' '))?, entry.about)))
        .filter(|(name, _)| !COMMON.contains(name) && *name != "info")
        .collect();
    rest.sort_unstable();
    for (name, about) in rest {
        text.push_str(&line(name, about));
    }
    text.push_str("\nGlobal Options:\n");
    let command = <GlobalOptions as clap::Args>::augment_args(clap::Command::new("global"));
    text.push_str(&flags(&command));
    text.push_str(&format!("\nRun '{program} COMMAND --help' for more information on a command.\n"));
    text
}

/// `dhow GROUP --help`
pub(super) fn group(program: &str, group: &str, about: &str) -> String {
    let mut text = format!("Usage:  {program} {group} COMMAND\n\n{about}\n\nCommands:\n");
    let prefix = format!("{group} ");
    let mut verbs: Vec<_> = CATALOG
        .iter()
        .filter_map(|entry| {
            let name = entry.names.iter().find_map(|name| name.strip_prefix(&prefix))?;
            Some((name, entry.about))
        })
        .collect();
    verbs.sort_unstable();
    let width = verbs.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(11);
    for (name, about) in verbs {
        text.push_str(&format!("  {name:<width$} {about}\n"));
    }
    text.push_str(&format!("\nRun '{program} {group} COMMAND --help' for more information on a command.\n"));
    text
}

/// `dhow COMMAND --help`
pub(super) fn command(program: &str, entry: &Entry, path: &str) -> String {
    let mut text = entry.usage(program, path);
    text.push_str(&format!("\n\n{}\n", entry.about));
    if entry.names.len() > 1 {
        let mut names: Vec<_> = entry.names.iter().map(|name| format!("{program} {name}")).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.split(' ').count()));
        text.push_str(&format!("\nAliases:\n  {}\n", names.join(", ")));
    }
    let command = parse::command(entry);
    let flags = flags(&command.mut_arg("help", |arg| {
        arg.hide(entry.names.first() != Some(&"run") && entry.names.first() != Some(&"create"))
    }));
    if !flags.is_empty() {
        text.push_str(&format!("\nOptions:\n{flags}"));
    }
    text
}

/// The flags of a command, one a line, help wrapped beside them.
fn flags(command: &clap::Command) -> String {
    let mut shown: Vec<&Arg> =
        command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
    shown.sort_by_key(|arg| arg.get_long().unwrap_or("").to_owned());
    let heads: Vec<String> = shown.iter().map(|arg| head(arg)).collect();
    let width = heads.iter().map(String::len).max().unwrap_or(0) + 3;
    let columns = match terminal::size()[1] {
        0 => DEFAULT_COLUMNS,
        columns => usize::try_from(columns).unwrap_or(DEFAULT_COLUMNS),
    };
    let room = columns.saturating_sub(width + 1).max(MIN_COLUMNS.saturating_sub(width).max(24));
    let mut text = String::new();
    for (arg, head) in shown.iter().zip(heads) {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        for (index, line) in wrap(&help, room).iter().enumerate() {
            let head = if index == 0 { head.as_str() } else { "" };
            text.push_str(format!("{head:<width$}{line}").trim_end());
            text.push('\n');
        }
    }
    text
}

fn head(arg: &Arg) -> String {
    let mut head = match arg.get_short() {
        Some(short) => format!("  -{short}, "),
        None => "      ".to_owned(),
    };
    if let Some(long) = arg.get_long() {
        head.push_str(&format!("--{long}"));
    }
    let switch = matches!(arg.get_action(), ArgAction::SetTrue)
        || arg.get_num_args().is_some_and(|range| range.min_values() == 0);
    if !switch {
        let name =
            arg.get_value_names().and_then(|names| names.first()).map_or("string", |name| name.as_str());
        head.push_str(&format!(" {name}"));
    }
    head
}

fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A command's name close to `word`, as a hint.
pub(super) fn similar(word: &str) -> Option<String> {
    let names = CATALOG.iter().flat_map(|entry| entry.names).filter(|name| !name.contains(' '));
    let (distance, name) = names.map(|name| (distance(word, name), name)).min()?;
    (distance <= 2 && distance < word.len()).then(|| format!("did you mean `{name}`?"))
}

/// How many letters differ.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = if x == *y { diagonal } else { diagonal.min(row[j]).min(row[j + 1]) + 1 };
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row.last().copied().unwrap_or(0)
}
