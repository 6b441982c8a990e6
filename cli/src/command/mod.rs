//! The commands: which words name them, how their arguments are read, what their help says.

mod archive;
mod catalog;
mod download;
mod help;
mod inspect;
mod parse;
mod plugin;
mod prune;
mod upload;

pub(crate) mod builder;
pub(crate) mod checkpoint;
pub(crate) mod container;
pub(crate) mod context;
pub(crate) mod image;
pub(crate) mod network;
pub(crate) mod registry;
pub(crate) mod system;
pub(crate) mod volume;

pub(crate) use parse::boolean;

use std::ffi::OsString;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;

use clap::ArgMatches;

use crate::error::Failure;
use crate::output;
use crate::session::{GlobalOptions, Session};
use catalog::{CATALOG, GROUPS};

/// One command: its arguments and what it does.
pub(crate) trait Verb: clap::Args + Sized + 'static {
    /// The arguments in the usage line; `{program}` stands for the program's name.
    const USAGE: &'static str;
    /// What the command does, one line.
    const ABOUT: &'static str;

    /// Does it.
    async fn run(self, session: &Session) -> Result<(), Failure>;
}

type Running = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// A command as the catalog holds it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// All the ways to name it, the words after the program's name. The first is the canonical one.
    names: &'static [&'static str],
    usage: &'static str,
    about: &'static str,
    arguments: fn(clap::Command) -> clap::Command,
    run: fn(ArgMatches, Rc<Session>) -> Running,
}

impl Entry {
    /// The usage line of the command called `path`.
    fn usage(&self, program: &str, path: &str) -> String {
        let arguments = self.usage.replace("{program}", program);
        format!("Usage:  {program} {path} {arguments}").trim_end().to_owned()
    }

    const fn new<V: Verb>(names: &'static [&'static str]) -> Self {
        Self {
            names,
            usage: V::USAGE,
            about: V::ABOUT,
            arguments: V::augment_args,
            run: |matches, session| {
                Box::pin(async move {
                    let verb =
                        V::from_arg_matches(&matches).map_err(|error| Failure::new(error.to_string()))?;
                    verb.run(&session).await
                })
            },
        }
    }
}

/// The name the program was called by.
fn program(argument: Option<&OsString>) -> &'static str {
    let name = argument.and_then(|argument| Path::new(argument).file_name());
    if name.is_some_and(|name| name == "docker") { "docker" } else { "dhow" }
}

/// Runs the command line `arguments`, program name included.
pub(crate) async fn main(arguments: Vec<OsString>) -> Result<(), Failure> {
    let program = program(arguments.first());
    let (options, words) = match parse::global(program, arguments.get(1..).unwrap_or_default())? {
        parse::Global::Help => return output::put(&help::root(program)),
        parse::Global::Command(options, words) => (options, words),
    };
    if options.version {
        return output::put_line(&format!(
            "{} version {}, build {}",
            if program == "docker" { "Docker" } else { "Dhow" },
            env!("CARGO_PKG_VERSION"),
            system::build()
        ));
    }
    dispatch(program, options, &words, arguments.get(1..).unwrap_or_default()).await
}

/// Finds the command that `words` begin with and runs it.
async fn dispatch(
    program: &'static str,
    options: GlobalOptions,
    words: &[OsString],
    all: &[OsString],
) -> Result<(), Failure> {
    let word = |index: usize| words.get(index).and_then(|word| word.to_str()).unwrap_or("");
    if word(0) == "help" {
        return output::put(&help_for(program, &words[1..])?);
    }
    let found = find(&[word(0), word(1)]);
    if let Some((entry, path, used)) = found {
        let command = parse::Invocation { program, entry, path: &path };
        return match command.parse(&words[used..])? {
            parse::Parsed::Help => output::put(&help::command(program, entry, &path)),
            parse::Parsed::Arguments(matches) => {
                let session = Rc::new(Session::new(program, options));
                (entry.run)(matches, session).await
            }
        };
    }
    let group = GROUPS.iter().find(|(name, _)| *name == word(0));
    if group.is_none() && !words.is_empty() {
        let session = Session::new(program, options);
        if let Some(path) = plugin::find(&session, word(0)) {
            return Err(plugin::become_plugin(&session, &path, all));
        }
    }
    match (words.len(), group) {
        (0, _) => output::put(&help::root(program)),
        (1, Some((name, about))) => output::put(&help::group(program, name, about)),
        (_, Some((name, about))) if word(1) == "--help" || word(1) == "-h" => {
            output::put(&help::group(program, name, about))
        }
        (_, Some((name, _))) => Err(unknown_in_group(program, name, word(1))),
        (_, None) => Err(Failure::new(format!(
            "{program}: unknown command: {program} {}\n\nRun '{program} --help' for more information",
            word(0)
        ))
        .also(help::similar(word(0)))),
    }
}

fn unknown_in_group(program: &str, group: &str, word: &str) -> Failure {
    Failure::new(format!(
        "{program}: unknown command: {program} {group} {word}\n\nUsage:  {program} {group}\n\nRun '{program} {group} --help' for more information"
    ))
}

/// The command that `words` begin with, the name used for it and how many words that is.
fn find(words: &[&str; 2]) -> Option<(&'static Entry, String, usize)> {
    let long = format!("{} {}", words[0], words[1]);
    for (name, used) in [(long.as_str(), 2), (words[0], 1)] {
        if let Some(entry) = CATALOG.iter().find(|entry| entry.names.contains(&name)) {
            return Some((entry, name.to_owned(), used));
        }
    }
    None
}

fn help_for(program: &'static str, words: &[OsString]) -> Result<String, Failure> {
    let word = |index: usize| words.get(index).and_then(|word| word.to_str()).unwrap_or("");
    if words.is_empty() {
        return Ok(help::root(program));
    }
    if let Some((entry, path, _)) = find(&[word(0), word(1)]) {
        return Ok(help::command(program, entry, &path));
    }
    match GROUPS.iter().find(|(name, _)| *name == word(0)) {
        Some((name, about)) => Ok(help::group(program, name, about)),
        None => Err(Failure::new(format!("unknown help topic: {}", word(0)))),
    }
}

#[cfg(test)]
mod tests;
