//! Go's `printf` verbs over template values.

use serde_json::Value;

use super::Datum;
use crate::output::units::quote;

#[derive(Default)]
struct Flags {
    left: bool,
    zero: bool,
    plus: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// Widest field a template may ask for.
const MAX_WIDTH: usize = 4096;

/// Formats `arguments` as `format` says.
pub(super) fn sprintf(format: &str, arguments: &[Datum<'_>]) -> String {
    let mut out = String::new();
    let mut rest = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '0' | '+' | '#' | ' ')) {
            match flag {
                '-' => flags.left = true,
                '0' => flags.zero = true,
                '+' => flags.plus = true,
                '#' => flags.sharp = true,
                _ => {}
            }
        }
        while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
            flags.width = (flags.width * 10 + digit as usize).min(MAX_WIDTH);
            chars.next();
        }
        if chars.next_if_eq(&'.').is_some() {
            let mut precision = 0;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                precision = (precision * 10 + digit as usize).min(MAX_WIDTH);
                chars.next();
            }
            flags.precision = Some(precision);
        }
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match rest.next() {
                Some(datum) => out.push_str(&pad(&one(verb, datum, &flags), &flags)),
                None => out.push_str(&format!("%!{verb}(MISSING)")),
            },
        }
    }
    let extra: Vec<_> = rest.map(|datum| format!("{}={}", datum.kind(), datum.print())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn pad(text: &str, flags: &Flags) -> String {
    let fill = flags.width.saturating_sub(text.chars().count());
    if flags.left {
        return format!("{text}{}", " ".repeat(fill));
    }
    if flags.zero {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => ("-", rest),
            None => ("", text),
        };
        return format!("{sign}{}{digits}", "0".repeat(fill));
    }
    format!("{}{text}", " ".repeat(fill))
}

fn one(verb: char, datum: &Datum<'_>, flags: &Flags) -> String {
    let value = datum.value();
    let bad = || format!("%!{verb}({}={})", datum.kind(), datum.print());
    match (verb, &*value) {
        ('v', Value::String(text)) if flags.sharp => quote(text),
        ('v', _) => datum.print(),
        ('s', Value::String(text)) => match flags.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.clone(),
        },
        ('s', Value::Number(_) | Value::Bool(_)) => bad(),
        ('s', _) => datum.print(),
        ('q', Value::String(text)) => quote(text),
        ('q', Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(|item| one('q', &Datum::document(item), flags)).collect();
            format!("[{}]", items.join(" "))
        }
        ('t', Value::Bool(value)) => value.to_string(),
        ('d', Value::Number(number)) if !number.is_f64() => {
            if flags.plus && number.as_i64().is_none_or(|value| value >= 0) {
                format!("+{number}")
            } else {
                number.to_string()
            }
        }
        ('x', Value::Number(number)) => number.as_i64().map_or_else(bad, |value| format!("{value:x}")),
        ('X', Value::Number(number)) => number.as_i64().map_or_else(bad, |value| format!("{value:X}")),
        ('o', Value::Number(number)) => number.as_i64().map_or_else(bad, |value| format!("{value:o}")),
        ('b', Value::Number(number)) => number.as_i64().map_or_else(bad, |value| format!("{value:b}")),
        ('c', Value::Number(number)) => number
            .as_u64()
            .and_then(|code| u32::try_from(code).ok())
            .and_then(char::from_u32)
            .map_or_else(bad, String::from),
        ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('f' | 'F', Value::Number(number)) if number.is_f64() => {
            format!("{:.*}", flags.precision.unwrap_or(6), number.as_f64().unwrap_or(0.0))
        }
        ('T', _) => datum.kind(),
        _ => bad(),
    }
}
