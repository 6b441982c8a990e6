//! A command line as runc's callers write it, put into the form that clap reads.
//!
//! runc's flags are Go's: one dash is as good as two (`-root DIR`), short ones are never joined (`-it` is a flag of that
//! name), a boolean may have a value (`--debug=T`), and the word after a flag is its value whatever it starts with.
//! Flags may follow positional words, except where those are somebody else's command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::{Arg, ArgAction, Command};

/// A word that is no flag, or one without the value that it needs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WordError {
    /// Nobody knows it.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// The last word is a flag that takes a value.
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    /// A boolean that is neither.
    #[error("invalid value {value:?} for flag -{name}: parse error")]
    NoBoolean {
        /// Of which flag.
        name: String,
        /// What was given.
        value: String,
    },
}

/// The flags that may stand at one place, and those that do.
#[derive(Debug)]
pub(super) struct Flags<'a> {
    defined: &'a Command,
    /// `--name` or `--name=value` each.
    pub(super) found: Vec<OsString>,
}

impl<'a> Flags<'a> {
    /// None yet of those that `defined` has.
    pub(super) const fn of(defined: &'a Command) -> Self {
        Self { defined, found: Vec::new() }
    }

    /// The definition of the flag `name`, and its long name.
    fn definition(&self, name: &str) -> Option<(&'a Arg, &'a str)> {
        let is_short = |short: char| name.strip_prefix(short) == Some("");
        self.defined.get_arguments().find_map(|flag| {
            let long = flag.get_long()?;
            (long == name || flag.get_short().is_some_and(is_short)).then_some((flag, long))
        })
    }

    fn add(&mut self, long: &str, value: Option<&OsStr>) {
        let mut word = OsString::from(format!("--{long}"));
        if let Some(value) = value {
            word.push("=");
            word.push(value);
        }
        self.found.push(word);
    }

    /// Takes back what was said with the flag.
    fn forget(&mut self, long: &str) {
        let is_it = |word: &OsString| {
            let rest =
                word.as_bytes().strip_prefix(b"--").and_then(|word| word.strip_prefix(long.as_bytes()));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
        };
        self.found.retain(|word| !is_it(word));
    }

    /// Of a flag without a value only the last mention counts, which may take it back.
    fn switch(&mut self, long: &str, on: bool) {
        self.forget(long);
        if on {
            self.add(long, None);
        }
    }
}

/// Sorts `words` into flags of one of `places` (the first that knows it) and positional words, which are the answer;
/// stops after `most` of those, and leaves the rest.
///
/// # Errors
/// A flag that is unknown, or has no good value.
pub(super) fn sort(
    words: &mut impl Iterator<Item = OsString>,
    places: &mut [Flags<'_>],
    most: usize,
) -> Result<Vec<OsString>, WordError> {
    let mut positional = Vec::new();
    while positional.len() < most
        && let Some(word) = words.next()
    {
        let name = match word.as_bytes() {
            b"--" => {
                positional.extend(words);
                break;
            }
            [b'-', b'-', name @ ..] => name,
            [b'-', name @ ..] if name.first().is_some_and(u8::is_ascii_alphabetic) => name,
            _ => {
                positional.push(word);
                continue;
            }
        };
        let mut parts = name.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let value = parts.next().map(|value| OsString::from_vec(value.to_vec()));
        let place = places.iter_mut().find_map(|place| Some((place.definition(&name)?, place)));
        match place {
            Some(((flag, long), place)) => match kind(flag) {
                Kind::Switch => place.switch(long, boolean(&name, value.as_deref())?),
                Kind::Boolean => {
                    let value = boolean(&name, value.as_deref())?;
                    place.add(long, Some(value.to_string().as_ref()));
                }
                Kind::Value => {
                    let missing = || WordError::NoValue(word.to_string_lossy().into_owned());
                    let value = value.or_else(|| words.next()).ok_or_else(missing)?;
                    if value.is_empty() && matches!(flag.get_action(), ArgAction::Set) {
                        // To Go no text is a text like others; to the verbs it is as good as none.
                        place.forget(long);
                    } else {
                        place.add(long, Some(&value));
                    }
                }
            },
            None if matches!(name.as_str(), "h" | "help") => {
                places.iter_mut().take(1).for_each(|place| place.switch("help", true));
            }
            None => return Err(WordError::Unknown(name)),
        }
    }
    Ok(positional)
}

/// The number of positional words of `verb` before those that belong to another program.
pub(super) fn own_positionals(verb: &Command) -> usize {
    let foreign = |argument: &Arg| argument.is_allow_hyphen_values_set();
    verb.get_positionals().position(foreign).unwrap_or(usize::MAX)
}

enum Kind {
    /// Given or not.
    Switch,
    /// True, false or not given.
    Boolean,
    /// Anything.
    Value,
}

fn kind(flag: &Arg) -> Kind {
    let optional = flag.get_num_args().is_some_and(|values| values.min_values() == 0);
    match flag.get_action() {
        ArgAction::SetTrue => Kind::Switch,
        _ if optional => Kind::Boolean,
        _ => Kind::Value,
    }
}

/// What Go takes for a boolean; just the flag means yes.
fn boolean(name: &str, value: Option<&OsStr>) -> Result<bool, WordError> {
    match value.unwrap_or_default().as_bytes() {
        b"" | b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Ok(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Ok(false),
        other => Err(WordError::NoBoolean {
            name: name.to_owned(),
            value: String::from_utf8_lossy(other).into_owned(),
        }),
    }
}

#[cfg(test)]
mod tests;
