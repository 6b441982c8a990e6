//! Arguments as Docker's command line reads them, errors in its words.
//!
//! Differences from what clap does by itself: `--flag=false` for switches, values that begin with a
//! dash, a flag given again replaces the one before, and the texts of errors.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use super::Entry;
use crate::error::Failure;
use crate::session::GlobalOptions;

/// What stands before the command.
pub(super) enum Global {
    /// `--help` was asked for.
    Help,
    /// The global options, and the command with its arguments.
    Command(GlobalOptions, Vec<OsString>),
}

/// What a command's arguments say.
pub(super) enum Parsed {
    /// `--help` was asked for.
    Help,
    /// The arguments.
    Arguments(ArgMatches),
}

/// ID of the switch that asks for help, in every command.
const HELP: &str = "help";
/// Exit code for a flag that is unknown or has a bad value.
const BAD_FLAG: u8 = 125;

/// A command as it was called.
pub(super) struct Invocation<'a> {
    pub(super) program: &'static str,
    pub(super) entry: &'static Entry,
    /// The name that was used for it.
    pub(super) path: &'a str,
}

/// Reads what stands before the command.
pub(super) fn global(program: &'static str, arguments: &[OsString]) -> Result<Global, Failure> {
    if arguments.first().is_some_and(|first| !first.as_encoded_bytes().starts_with(b"-")) {
        return Ok(Global::Command(GlobalOptions::default(), arguments.to_vec()));
    }
    let command = GlobalOptions::augment_args(clap::Command::new(program));
    let command = adapt(command).arg(
        Arg::new("words")
            .num_args(0..)
            .trailing_var_arg(true)
            .allow_hyphen_values(true)
            .value_parser(clap::value_parser!(OsString)),
    );
    let failed = |error: clap::Error, command: &clap::Command| {
        Failure::new(format!(
            "{}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information",
            flag_error(&error, command)
        ))
        .code(BAD_FLAG)
    };
    let mut command = command;
    let parsed = command.try_get_matches_from_mut(prefixed(program, arguments));
    let mut matches = parsed.map_err(|error| failed(error, &command))?;
    if matches.get_flag(HELP) {
        return Ok(Global::Help);
    }
    let options = GlobalOptions::from_arg_matches(&matches).map_err(|error| failed(error, &command))?;
    let words: Vec<OsString> = matches.remove_many("words").map(Iterator::collect).unwrap_or_default();
    if let Some(flag) = words.first().and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        return Err(Failure::new(format!(
            "unknown flag: {flag}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information"
        ))
        .code(BAD_FLAG));
    }
    Ok(Global::Command(options, words))
}

fn prefixed(program: &str, arguments: &[OsString]) -> Vec<OsString> {
    std::iter::once(program.into()).chain(arguments.iter().cloned()).collect()
}

/// The clap command of `entry`, with Docker's habits.
pub(super) fn command(entry: &Entry) -> clap::Command {
    adapt((entry.arguments)(clap::Command::new("command")))
}

fn adapt(command: clap::Command) -> clap::Command {
    let hostname = command.get_arguments().any(|arg| arg.get_short() == Some('h'));
    let help = Arg::new(HELP).long(HELP).action(ArgAction::SetTrue).help("Print usage");
    command
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .mut_args(|arg| match arg.get_action() {
            _ if arg.is_positional() => arg,
            ArgAction::SetTrue => switch(arg),
            _ if arg.get_num_args().is_some_and(|range| range.min_values() == 0) => arg,
            _ => arg.allow_hyphen_values(true).num_args(1),
        })
        .arg(if hostname { help } else { help.short('h') })
}

/// A switch that may be written `--flag`, `--flag=true` or `--flag=false`.
fn switch(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .value_parser(boolean)
}

/// A boolean in Go's spellings.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", crate::output::units::quote(text))),
    }
}

impl Invocation<'_> {
    /// Reads the arguments.
    pub(super) fn parse(&self, arguments: &[OsString]) -> Result<Parsed, Failure> {
        let mut command = command(self.entry);
        let letter = command.get_arguments().any(|arg| arg.get_id() == HELP && arg.get_short().is_some());
        let asked = |argument: &OsString| argument == "--help" || letter && argument == "-h";
        let matches = match command.try_get_matches_from_mut(prefixed(self.program, arguments)) {
            Ok(matches) if matches.get_flag(HELP) => return Ok(Parsed::Help),
            Ok(matches) => match swallowed(&command, &matches) {
                Some(message) => return Err(self.bad_flag(&message)),
                None => matches,
            },
            Err(error)
                if error.kind() == ErrorKind::MissingRequiredArgument && arguments.iter().any(asked) =>
            {
                return Ok(Parsed::Help);
            }
            Err(error) => return Err(self.error(&error, &command)),
        };
        Ok(Parsed::Arguments(matches))
    }

    fn error(&self, error: &clap::Error, command: &clap::Command) -> Failure {
        let (least, most) = bounds(command);
        let Self { program, path, entry } = self;
        let usage = entry.usage(program, path);
        let positional = match error.kind() {
            ErrorKind::MissingRequiredArgument | ErrorKind::TooManyValues | ErrorKind::TooFewValues => true,
            ErrorKind::UnknownArgument => {
                let context = error.get(ContextKind::InvalidArg);
                !matches!(context, Some(ContextValue::String(text)) if text.starts_with('-') && text.len() > 1)
            }
            _ => false,
        };
        if positional {
            let plural = |number: usize| if number == 1 { "argument" } else { "arguments" };
            let wants = match (least, most) {
                (0, Some(0)) => "accepts no arguments".to_owned(),
                (least, Some(most)) if least == most => format!("requires {least} {}", plural(least)),
                (0, Some(most)) => format!("requires at most {most} {}", plural(most)),
                (least, Some(most)) => {
                    format!("requires at least {least} and at most {most} {}", plural(most))
                }
                (least, None) => format!("requires at least {least} {}", plural(least)),
            };
            let see = if most.is_none() { "See" } else { "Run" };
            return Failure::new(format!(
                "{program}: '{program} {path}' {wants}\n\n{usage}\n\n{see} '{program} {path} --help' for more information"
            ));
        }
        self.bad_flag(&flag_error(error, command))
    }

    fn bad_flag(&self, message: &str) -> Failure {
        let Self { program, path, entry } = self;
        let usage = entry.usage(program, path);
        let help = format!("Run '{program} {path} --help' for more information");
        Failure::new(format!("{message}\n\n{usage}\n\n{help}")).code(BAD_FLAG)
    }
}

/// A flag that nobody knows and that was taken for the first word of a command line to be run.
fn swallowed(command: &clap::Command, matches: &ArgMatches) -> Option<String> {
    let positional = command.get_positionals().find(|arg| arg.is_trailing_var_arg_set())?;
    let word = matches.get_many::<String>(positional.get_id().as_str())?.next()?;
    if let Some(long) = word.strip_prefix("--") {
        return Some(format!("unknown flag: --{}", long.split('=').next().unwrap_or(long)));
    }
    let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty())?;
    let known = |letter: char| command.get_arguments().any(|arg| arg.get_short() == Some(letter));
    let (at, unknown) = letters.char_indices().find(|(_, letter)| !known(*letter))?;
    Some(format!("unknown shorthand flag: '{unknown}' in -{}", &letters[at..]))
}

/// How many positional arguments a command takes at least and at most.
fn bounds(command: &clap::Command) -> (usize, Option<usize>) {
    let (mut least, mut most) = (0, Some(0));
    for positional in command.get_positionals() {
        let many = positional.get_num_args().is_some_and(|range| range.max_values() > 1)
            || matches!(positional.get_action(), ArgAction::Append);
        let wanted = positional.get_num_args().map_or(1, |range| range.min_values().max(1));
        least += if positional.is_required_set() { wanted } else { 0 };
        most = if many { None } else { most.map(|most: usize| most + 1) };
    }
    (least, most)
}

/// A flag's name as errors say it: `-m, --memory` when it has a letter.
fn full_name(name: &str, command: &clap::Command) -> String {
    let arg = command.get_arguments().find(|arg| arg.get_long() == name.strip_prefix("--"));
    match arg.and_then(Arg::get_short) {
        Some(short) => format!("-{short}, {name}"),
        None => name.to_owned(),
    }
}

/// What is wrong with a flag, in the words of Docker's flag package.
fn flag_error(error: &clap::Error, command: &clap::Command) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let argument = context(ContextKind::InvalidArg);
    let name = argument.split([' ', '=']).next().unwrap_or("").to_owned();
    match error.kind() {
        ErrorKind::UnknownArgument if name.starts_with("--") => format!("unknown flag: {name}"),
        ErrorKind::UnknownArgument => {
            let letter = name.chars().nth(1).unwrap_or('-');
            format!("unknown shorthand flag: '{letter}' in {name}")
        }
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues
            if context(ContextKind::InvalidValue).is_empty() =>
        {
            format!("flag needs an argument: {}", argument.split(' ').next().unwrap_or(&argument))
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let value = context(ContextKind::InvalidValue);
            let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            format!("invalid argument \"{value}\" for \"{}\" flag: {cause}", full_name(&name, command))
        }
        _ => {
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            text.split("\n\n").next().unwrap_or(text).to_owned()
        }
    }
}
