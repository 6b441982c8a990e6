//! From text to selectors.

use regex::Regex;

use super::scan::{Kind, Scanner, Token};
use super::{FilterError, Selector, Test};

/// Parses one filter; the empty one wants everything.
pub(super) fn selectors(input: &str) -> Result<Vec<Selector>, FilterError> {
    if input.is_empty() {
        return Ok(Vec::new());
    }
    let mut parser = Parser { input, scanner: Scanner::new(input) };
    let mut selectors = vec![parser.selector()?];
    loop {
        match parser.scanner.peek() {
            None => return Ok(selectors),
            Some(',') => {
                parser.scanner.token();
                selectors.push(parser.selector()?);
            }
            Some(other) => {
                let position = parser.scanner.position();
                return Err(parser.refuse(position, &format!("unexpected input: {other}")));
            }
        }
    }
}

struct Parser<'a> {
    input: &'a str,
    scanner: Scanner<'a>,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<Selector, FilterError> {
        let path = self.path()?;
        if matches!(self.scanner.peek(), None | Some(',')) {
            return Ok(Selector { path, test: Test::Present });
        }
        let operator = self.scanner.token();
        let test = match (operator.kind, operator.text) {
            (Kind::Operator, "==") => Test::Equal(self.value(false)?),
            (Kind::Operator, "!=") => Test::Unequal(self.value(false)?),
            (Kind::Operator, "~=") => Test::Match(compile(self.value(true)?)?),
            (Kind::Operator, other) => {
                return Err(self.refuse(operator.start, &format!("unsupported operator {other:?}")));
            }
            _ => return Err(self.unexpected(operator, r#"expected an operator ("=="|"!="|"~=")"#)),
        };
        Ok(Selector { path, test })
    }

    fn path(&mut self) -> Result<Vec<String>, FilterError> {
        let mut path = vec![self.field()?];
        while self.scanner.peek() == Some('.') {
            self.scanner.token();
            path.push(self.field()?);
        }
        Ok(path)
    }

    fn field(&mut self) -> Result<String, FilterError> {
        let token = self.scanner.token();
        match token.kind {
            Kind::Field => Ok(token.text.to_owned()),
            Kind::Quoted => self.unquote(token, false),
            _ => Err(self.unexpected(token, "expected field or quoted")),
        }
    }

    fn value(&mut self, any_quote: bool) -> Result<String, FilterError> {
        let token = self.scanner.token();
        match token.kind {
            Kind::Value | Kind::Field => Ok(token.text.to_owned()),
            Kind::Quoted => self.unquote(token, any_quote),
            _ => Err(self.unexpected(token, "expected value or quoted")),
        }
    }

    fn unquote(&self, token: Token<'a>, any_quote: bool) -> Result<String, FilterError> {
        if !any_quote && !token.text.starts_with('"') {
            return Err(self.refuse(token.start, "invalid quote encountered"));
        }
        unquote(token.text).ok_or_else(|| self.refuse(token.start, "unquoting failed: quote syntax error"))
    }

    fn unexpected(&self, token: Token<'a>, expected: &str) -> FilterError {
        let problem = if token.kind == Kind::Illegal { self.scanner.problem } else { expected };
        self.refuse(token.start, problem)
    }

    fn refuse(&self, position: usize, problem: &str) -> FilterError {
        let problem = problem.to_owned();
        match self.input.get(position..).and_then(|rest| rest.chars().next()) {
            Some(at) => FilterError::At {
                before: self.input[..position].to_owned(),
                at,
                after: self.input[position + at.len_utf8()..].to_owned(),
                problem,
            },
            None => FilterError::End { input: self.input.to_owned(), problem },
        }
    }
}

fn compile(expression: String) -> Result<Regex, FilterError> {
    let mut builder = regex::RegexBuilder::new(&expression);
    builder
        .size_limit(1 << 20)
        .build()
        .map_err(|source| FilterError::Regex { expression, source: Box::new(source) })
}

/// Takes the quotes off a Go string; `\` escapes as there, and the quote itself.
fn unquote(quoted: &str) -> Option<String> {
    let quote = quoted.chars().next()?;
    let inner = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            push(&mut bytes, character);
            continue;
        }
        match characters.next()? {
            'a' => bytes.push(0x07),
            'b' => bytes.push(0x08),
            'f' => bytes.push(0x0c),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(0x0b),
            '\\' => bytes.push(b'\\'),
            'x' => bytes.push(u8::try_from(digits(&mut characters, 16, 2, 0)?).ok()?),
            'u' => push(&mut bytes, char::from_u32(digits(&mut characters, 16, 4, 0)?)?),
            'U' => push(&mut bytes, char::from_u32(digits(&mut characters, 16, 8, 0)?)?),
            first @ '0'..='7' => {
                bytes.push(u8::try_from(digits(&mut characters, 8, 2, first.to_digit(8)?)?).ok()?);
            }
            escaped if escaped == quote => push(&mut bytes, escaped),
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn push(bytes: &mut Vec<u8>, character: char) {
    bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn digits(characters: &mut std::str::Chars<'_>, radix: u32, count: usize, first: u32) -> Option<u32> {
    (0..count).try_fold(first, |value, _| {
        value.checked_mul(radix)?.checked_add(characters.next()?.to_digit(radix)?)
    })
}
