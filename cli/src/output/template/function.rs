//! The functions of templates: Go's own and Docker's.

use std::cmp::Ordering;

use serde_json::Value;

use super::printf::sprintf;
use super::value::number;
use super::{Datum, Mode};
use crate::output::json;

/// Why a call failed.
pub(super) enum CallError {
    /// The number of arguments is wrong.
    Count { want: &'static str, got: usize },
    /// The function answered with an error.
    Failed(String),
    /// An argument has the wrong type; the whole text.
    Argument(String),
}

/// The names that may be called.
const NAMES: [&str; 27] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print", "printf",
    "println", "html", "js", "urlquery", "call", "json", "split", "join", "title", "lower", "upper", "pad",
    "truncate",
];

/// Whether `name` is a function.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

type Answer<'a> = Result<Datum<'a>, CallError>;

/// Calls `name`.
pub(super) fn call<'a>(name: &str, arguments: &[Datum<'a>], mode: Mode) -> Answer<'a> {
    if mode == Mode::Header
        && let "json" | "split" | "join" | "title" | "lower" | "upper" | "truncate" = name
    {
        return Ok(arguments.iter().find(|one| !one.print().is_empty()).cloned().unwrap_or(Datum::Absent));
    }
    let text = |index: usize| string(name, arguments, index);
    Ok(match name {
        "not" => Datum::owned((!one(arguments)?.truth()).into()),
        "eq" => return equal(arguments),
        "ne" => match arguments {
            [a, b] => Datum::owned((!same(a, b)?).into()),
            _ => return Err(CallError::Count { want: "2", got: arguments.len() }),
        },
        "lt" | "le" | "gt" | "ge" => match arguments {
            [a, b] => {
                let order = order(a, b)?;
                let holds = match name {
                    "lt" => order == Ordering::Less,
                    "le" => order != Ordering::Greater,
                    "gt" => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                };
                Datum::owned(holds.into())
            }
            _ => return Err(CallError::Count { want: "2", got: arguments.len() }),
        },
        "len" => return length(one(arguments)?),
        "index" => return index(arguments),
        "slice" => return slice(arguments),
        "print" => Datum::text(print(arguments)),
        "println" => {
            let words: Vec<_> = arguments.iter().map(Datum::print).collect();
            Datum::text(words.join(" ") + "\n")
        }
        "printf" => match arguments.split_first() {
            Some((format, rest)) => Datum::text(sprintf(&format.print(), rest)),
            None => return Err(CallError::Count { want: "at least 1", got: 0 }),
        },
        "html" => Datum::text(escape_html(&print(arguments))),
        "js" => Datum::text(
            print(arguments)
                .replace('\\', "\\\\")
                .replace('\'', "\\'")
                .replace('"', "\\\"")
                .replace('<', "\\u003C")
                .replace('>', "\\u003E")
                .replace('&', "\\u0026")
                .replace('=', "\\u003D"),
        ),
        "urlquery" => Datum::text(crate::client::query::escape(&print(arguments))),
        "json" => Datum::text(encode(one(arguments)?)),
        "lower" => Datum::text(text(0)?.to_lowercase()),
        "upper" => Datum::text(text(0)?.to_uppercase()),
        "title" => Datum::text(title(&text(0)?)),
        "split" => {
            two(arguments)?;
            let separator = text(1)?;
            let subject = text(0)?;
            let parts: Vec<Value> = if separator.is_empty() {
                subject.chars().map(|c| Value::String(c.into())).collect()
            } else {
                subject.split(&separator).map(Into::into).collect()
            };
            Datum::owned(parts.into())
        }
        "join" => return join(two(arguments)?, &text(1)?),
        "pad" => {
            if arguments.len() != 3 {
                return Err(CallError::Count { want: "3", got: arguments.len() });
            }
            let subject = text(0)?;
            let spaces = |index: usize| " ".repeat(integer(&arguments[index]).clamp(0, 4096));
            Datum::text(if subject.is_empty() { subject } else { spaces(1) + &subject + &spaces(2) })
        }
        "truncate" => {
            two(arguments)?;
            let subject = text(0)?;
            let length = integer(&arguments[1]);
            let mut end = length.min(subject.len());
            while !subject.is_char_boundary(end) {
                end -= 1;
            }
            Datum::text(&subject[..end])
        }
        _ => return Err(CallError::Failed("cannot call a value that is not a function".into())),
    })
}

/// Rows escape what HTML would read, as Docker's do; other values do not.
fn encode(datum: &Datum<'_>) -> String {
    let text = json::compact(&datum.value());
    match datum {
        Datum::Record(_) => text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
        _ => text,
    }
}

fn one<'b, 'a>(arguments: &'b [Datum<'a>]) -> Result<&'b Datum<'a>, CallError> {
    match arguments {
        [one] => Ok(one),
        _ => Err(CallError::Count { want: "1", got: arguments.len() }),
    }
}

fn two<'b, 'a>(arguments: &'b [Datum<'a>]) -> Result<&'b Datum<'a>, CallError> {
    match arguments {
        [first, _] => Ok(first),
        _ => Err(CallError::Count { want: "2", got: arguments.len() }),
    }
}

fn string(name: &str, arguments: &[Datum<'_>], index: usize) -> Result<String, CallError> {
    if matches!(name, "lower" | "upper" | "title") {
        one(arguments)?;
    }
    match arguments.get(index).map(|datum| datum.value().into_owned()) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) => Ok(String::new()),
        Some(other) => {
            let kind = Datum::owned(other).kind();
            Err(CallError::Argument(format!("wrong type for value; expected string; got {kind}")))
        }
        None => Err(CallError::Count { want: "2", got: arguments.len() }),
    }
}

fn integer(datum: &Datum<'_>) -> usize {
    datum.value().as_u64().and_then(|value| usize::try_from(value).ok()).unwrap_or(0)
}

/// Words joined as `fmt.Sprint` does: a space only between two that are no strings.
fn print(arguments: &[Datum<'_>]) -> String {
    let mut out = String::new();
    let mut after_string = true;
    for (index, datum) in arguments.iter().enumerate() {
        let is_string = datum.value().is_string();
        if index > 0 && !is_string && !after_string {
            out.push(' ');
        }
        out.push_str(&datum.print());
        after_string = is_string;
    }
    out
}

fn same(a: &Datum<'_>, b: &Datum<'_>) -> Result<bool, CallError> {
    let (a, b) = (a.value(), b.value());
    match (&*a, &*b) {
        (Value::Number(a), Value::Number(b)) => Ok(a == b || a.as_f64() == b.as_f64()),
        (Value::Null, other) | (other, Value::Null) => Ok(other.is_null()),
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) => Ok(a == b),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(CallError::Failed("non-comparable type".into()))
        }
        _ => Err(CallError::Failed("incompatible types for comparison".into())),
    }
}

fn equal<'a>(arguments: &[Datum<'a>]) -> Answer<'a> {
    let [first, rest @ ..] = arguments else {
        return Err(CallError::Count { want: "at least 1", got: 0 });
    };
    if rest.is_empty() {
        return Err(CallError::Failed("missing argument for comparison".into()));
    }
    for other in rest {
        if same(first, other)? {
            return Ok(Datum::owned(true.into()));
        }
    }
    Ok(Datum::owned(false.into()))
}

fn order(a: &Datum<'_>, b: &Datum<'_>) -> Result<Ordering, CallError> {
    match (&*a.value(), &*b.value()) {
        (Value::Number(a), Value::Number(b)) => {
            Ok(a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal))
        }
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        _ => Err(CallError::Failed("incompatible types for comparison".into())),
    }
}

fn length<'a>(datum: &Datum<'_>) -> Answer<'a> {
    let length = match &*datum.value() {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::Null => 0,
        _ => return Err(CallError::Failed(format!("len of type {}", datum.kind()))),
    };
    Ok(Datum::owned(length.into()))
}

fn index<'a>(arguments: &[Datum<'a>]) -> Answer<'a> {
    let [first, keys @ ..] = arguments else {
        return Err(CallError::Count { want: "at least 1", got: 0 });
    };
    let mut value = first.value().into_owned();
    for key in keys {
        value = match (value, &*key.value()) {
            (Value::Null, _) => return Err(CallError::Failed("index of untyped nil".into())),
            (Value::Object(mut fields), Value::String(key)) => fields.remove(key).unwrap_or(Value::Null),
            (Value::Array(mut items), Value::Number(at)) => {
                match at.as_u64().and_then(|at| usize::try_from(at).ok()).filter(|at| *at < items.len()) {
                    Some(at) => items.swap_remove(at),
                    None => return Err(CallError::Failed(format!("index out of range: {}", number(at)))),
                }
            }
            (Value::String(text), Value::Number(at)) => {
                let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
                match at.and_then(|at| text.as_bytes().get(at)) {
                    Some(byte) => Value::from(*byte),
                    None => return Err(CallError::Failed("index out of range".into())),
                }
            }
            (Value::Array(_), _) => {
                return Err(CallError::Failed(format!("cannot index slice/array with type {}", key.kind())));
            }
            (Value::Object(_), _) => {
                return Err(CallError::Failed(format!("value has type {}; should be string", key.kind())));
            }
            (other, _) => {
                return Err(CallError::Failed(format!(
                    "can't index item of type {}",
                    Datum::owned(other).kind()
                )));
            }
        };
    }
    // A map that lacks the key answers its zero value, which prints as nothing for strings.
    Ok(if value.is_null() && !keys.is_empty() { Datum::text("") } else { Datum::owned(value) })
}

fn slice<'a>(arguments: &[Datum<'a>]) -> Answer<'a> {
    let [first, bounds @ ..] = arguments else {
        return Err(CallError::Count { want: "at least 1", got: 0 });
    };
    let value = first.value().into_owned();
    let length = match &value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        _ => return Err(CallError::Failed(format!("can't slice item of type {}", first.kind()))),
    };
    let from = bounds.first().map_or(0, integer);
    let to = bounds.get(1).map_or(length, integer);
    if from > to || to > length {
        return Err(CallError::Failed(format!("index out of range: {}", from.max(to))));
    }
    Ok(match value {
        Value::String(text) => Datum::text(String::from_utf8_lossy(&text.as_bytes()[from..to])),
        Value::Array(items) => Datum::owned(items[from..to].to_vec().into()),
        other => Datum::owned(other),
    })
}

fn join<'a>(subject: &Datum<'_>, separator: &str) -> Answer<'a> {
    let words: Vec<String> = match &*subject.value() {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().map(|item| Datum::document(item).print()).collect(),
        Value::Object(fields) => {
            let mut words: Vec<_> = fields.values().map(|item| Datum::document(item).print()).collect();
            words.sort();
            words
        }
        _ => return Err(CallError::Failed(format!("expected slice, got {}", subject.kind()))),
    };
    Ok(Datum::text(words.join(separator)))
}

fn title(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let upper = start && c.is_alphabetic();
            start = !(c.is_alphanumeric() || c == '_' || c == '\'');
            if upper { c.to_ascii_uppercase() } else { c }
        })
        .collect()
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&#34;")
}
