//! Cuts a template into text and the tokens of its actions.

use super::TemplateError;

/// One token inside an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// `.Name`
    Field(String),
    /// `.`
    Dot,
    /// `$name` or `$`
    Variable(String),
    /// A function or a keyword.
    Word(String),
    /// A quoted or raw string, unquoted.
    Text(String),
    /// A number as written.
    Number(String),
    Pipe,
    Open,
    Close,
    Declare,
    Assign,
    Comma,
    Space,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Literal text.
    Text(String),
    /// An action: its tokens and where each begins.
    Action(Vec<(usize, Token)>, usize),
}

fn fail<T>(source: &str, at: usize, message: &str) -> Result<T, TemplateError> {
    let line = 1 + source[..at].matches('\n').count();
    Err(TemplateError(format!("template: :{line}: {message}")))
}

/// Cuts `source` into pieces.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let open = source[at..].find("{{").map(|found| at + found);
        let mut text = &source[at..open.unwrap_or(source.len())];
        if trim_next {
            text = text.trim_start_matches([' ', '\t', '\r', '\n']);
        }
        let Some(open) = open else {
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            return Ok(pieces);
        };
        let mut start = open + 2;
        let trims =
            source[start..].strip_prefix('-').is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n']));
        if trims {
            text = text.trim_end_matches([' ', '\t', '\r', '\n']);
            start += 2;
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        if source[start..].starts_with("/*") {
            let Some(end) = source[start..].find("*/").map(|found| start + found + 2) else {
                return fail(source, start, "unclosed comment");
            };
            (at, trim_next) = match close(source, end) {
                Some(after) => after,
                None => return fail(source, end, "comment ends before closing delimiter"),
            };
            continue;
        }
        let (tokens, end, trims) = action(source, start)?;
        pieces.push(Piece::Action(tokens, start));
        at = end;
        trim_next = trims;
    }
}

/// Where the text after a closing delimiter at `at` begins, and whether it is to be trimmed.
fn close(source: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &source[at..];
    if rest.starts_with("}}") {
        return Some((at + 2, false));
    }
    let spaces = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    (spaces > 0 && rest[spaces..].starts_with("-}}")).then_some((at + spaces + 3, true))
}

type Action = (Vec<(usize, Token)>, usize, bool);

fn action(source: &str, start: usize) -> Result<Action, TemplateError> {
    let mut tokens = Vec::new();
    let mut at = start;
    let word_end = |from: usize| {
        source[from..]
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(source.len(), |found| from + found)
    };
    loop {
        if let Some((end, trims)) = close(source, at) {
            return Ok((tokens, end, trims));
        }
        let Some(c) = source[at..].chars().next() else {
            return fail(source, source.len(), "unclosed action");
        };
        let begin = at;
        let token = match c {
            ' ' | '\t' | '\r' | '\n' => {
                at = source.len() - source[at..].trim_start_matches([' ', '\t', '\r', '\n']).len();
                if close(source, begin).is_some() {
                    at = begin;
                    continue;
                }
                if source[at..].starts_with("}}") {
                    continue;
                }
                Token::Space
            }
            '"' | '`' | '\'' => {
                let (text, end) = quoted(source, at, c)?;
                at = end;
                text
            }
            '.' if source[at + 1..].starts_with(|c: char| c.is_ascii_digit()) => number(source, &mut at)?,
            '.' => {
                at = word_end(at + 1);
                if at == begin + 1 { Token::Dot } else { Token::Field(source[begin + 1..at].to_owned()) }
            }
            '$' => {
                at = word_end(at + 1);
                Token::Variable(source[begin..at].to_owned())
            }
            '|' => single(&mut at, Token::Pipe),
            '(' => single(&mut at, Token::Open),
            ')' => single(&mut at, Token::Close),
            ',' => single(&mut at, Token::Comma),
            '=' => single(&mut at, Token::Assign),
            ':' if source[at..].starts_with(":=") => {
                at += 2;
                Token::Declare
            }
            ':' => return fail(source, at, "expected :="),
            '+' | '-' | '0'..='9' => number(source, &mut at)?,
            c if c.is_alphabetic() || c == '_' => {
                at = word_end(at);
                Token::Word(source[begin..at].to_owned())
            }
            '}' => return fail(source, at, "unexpected \"}\" in operand"),
            c => {
                return fail(
                    source,
                    at,
                    &format!("unexpected unrecognized character in action: U+{:04X} '{c}'", c as u32),
                );
            }
        };
        tokens.push((begin, token));
    }
}

fn single(at: &mut usize, token: Token) -> Token {
    *at += 1;
    token
}

fn number(source: &str, at: &mut usize) -> Result<Token, TemplateError> {
    let begin = *at;
    let end = source[begin + 1..]
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_')
        .map_or(source.len(), |found| begin + 1 + found);
    *at = end;
    let text = &source[begin..end];
    if text.parse::<f64>().is_err() && parse_integer(text).is_none() {
        return fail(source, begin, &format!("bad number syntax: \"{text}\""));
    }
    Ok(Token::Number(text.to_owned()))
}

/// An integer in decimal, hexadecimal, octal or binary.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.get(..2) {
        Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16),
        Some("0o" | "0O") => i64::from_str_radix(&digits[2..], 8),
        Some("0b" | "0B") => i64::from_str_radix(&digits[2..], 2),
        _ => digits.parse(),
    };
    value.ok().map(|value| if negative { -value } else { value })
}

fn quoted(source: &str, start: usize, quote: char) -> Result<(Token, usize), TemplateError> {
    if quote == '`' {
        return match source[start + 1..].find('`') {
            Some(len) => Ok((Token::Text(source[start + 1..start + 1 + len].to_owned()), start + len + 2)),
            None => fail(source, start, "unterminated raw quoted string"),
        };
    }
    let mut text = String::new();
    let mut chars = source[start + 1..].char_indices();
    while let Some((offset, c)) = chars.next() {
        match c {
            '\n' => break,
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('a') => text.push('\x07'),
                Some(hex @ ('x' | 'u' | 'U')) => {
                    let digits = match hex {
                        'x' => 2,
                        'u' => 4,
                        _ => 8,
                    };
                    let code: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
                    match u32::from_str_radix(&code, 16).ok().and_then(char::from_u32) {
                        Some(c) => text.push(c),
                        None => return fail(source, start, "invalid syntax"),
                    }
                }
                Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                _ => return fail(source, start, "invalid syntax"),
            },
            c if c == quote => {
                let end = start + 1 + offset + 1;
                if quote == '\'' {
                    // A character constant is its code point.
                    let code = text.chars().next().map_or(0, |c| c as u32);
                    return Ok((Token::Number(code.to_string()), end));
                }
                return Ok((Token::Text(text), end));
            }
            c => text.push(c),
        }
    }
    let what = if quote == '\'' { "unterminated character constant" } else { "unterminated quoted string" };
    fail(source, start, what)
}
