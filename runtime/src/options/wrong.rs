//! Arguments of a verb that mean nothing, told as runc tells them: by the verb, once the log is open.

use std::io::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::command::{Call, Failure};

/// The arguments of a verb are not what it takes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

/// A call of `verb` that says what is wrong with its arguments; an answer (help) is none.
pub(super) fn call(program: &str, verb: &clap::Command, error: clap::Error) -> Result<Call, clap::Error> {
    if error.kind() == ErrorKind::DisplayHelp {
        return Err(error);
    }
    let wrong = Wrong(text(program, verb, &error));
    if is_about_flag(&error) {
        return Ok(Box::new(move |_| Err(wrong.into())));
    }
    if !is_about_number(&error) {
        let name = verb.get_name().to_owned();
        return Ok(Box::new(move |_| Err(Failure::of_verb(&name, wrong))));
    }
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    Ok(Box::new(move |_| {
        std::io::stdout().write_all(format!("Incorrect Usage.\n\n{usage}\n\n").as_bytes())?;
        Err(wrong.into())
    }))
}

/// The argument that an error names.
fn argument(error: &clap::Error) -> &str {
    text_of(error, ContextKind::InvalidArg)
}

fn text_of(error: &clap::Error, kind: ContextKind) -> &str {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text,
        _ => "",
    }
}

/// Of its flags a verb says nothing in front.
fn is_about_flag(error: &clap::Error) -> bool {
    !is_about_number(error) && argument(error).starts_with("--")
}

fn is_about_number(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::UnknownArgument)
}

fn text(program: &str, verb: &clap::Command, error: &clap::Error) -> String {
    if is_about_number(error) {
        return format!(
            "{program}: {:?} requires {} argument(s)",
            verb.get_name(),
            number(verb, error.kind())
        );
    }
    let value = text_of(error, ContextKind::InvalidValue);
    let flag = argument(error).strip_prefix("--").map(|flag| flag.split(' ').next().unwrap_or_default());
    let cause = std::error::Error::source(error).map(ToString::to_string);
    match (flag, cause) {
        (Some(flag), Some(cause)) => format!("invalid value {value:?} for flag -{flag}: {cause}"),
        (Some(flag), None) => format!("invalid {flag} option"),
        (None, Some(cause)) => cause,
        (None, None) => error.kind().to_string(),
    }
}

/// How many arguments `verb` takes.
fn number(verb: &clap::Command, kind: ErrorKind) -> String {
    let all = verb.get_positionals().count();
    let required = verb.get_positionals().filter(|argument| argument.is_required_set()).count();
    match kind {
        _ if all == required => format!("exactly {required}"),
        ErrorKind::MissingRequiredArgument => format!("a minimum of {required}"),
        _ => format!("a maximum of {all}"),
    }
}
