//! Values as people write them in annotations: GVariant's text form, as `gdbus` and `busctl` users know it.
//!
//! ```text
//! true   12   0x1f   -1   1.5   'text'   "text"   ['a', 'b']   <'variant'>
//! uint64 123   @t 123   @as []   objectpath '/a'
//! ```
//! A number without a type is an `i`, or a `d` when it has a point. Dictionaries, tuples and byte strings are not
//! known: no property of a systemd unit is one.

use super::value::{Value, first_type};

/// Deeper values than this are refused.
const DEEPEST: usize = 32;

/// The keywords that stand for a type.
const KEYWORDS: [(&str, &str); 12] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
    ("objectpath", "o"),
    ("signature", "g"),
];

/// A text that is no value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TextError {
    /// The text ends too early.
    #[error("unexpected end of input")]
    End,
    /// Something else was expected here.
    #[error("unexpected {0:?}")]
    Unexpected(String),
    /// The value is not of the type that is asked for, or outside of it.
    #[error("{text:?} is no value of type {signature:?}")]
    Type {
        /// The value.
        text: String,
        /// The type.
        signature: String,
    },
}

/// The value that `text` is.
///
/// # Errors
/// When it is none.
pub(crate) fn parse(text: &str) -> Result<Value, TextError> {
    let mut parser = Parser { rest: text };
    let value = parser.value(None, 0)?;
    parser.skip_blanks();
    if parser.rest.is_empty() { Ok(value) } else { Err(TextError::Unexpected(parser.rest.to_owned())) }
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn peek(&mut self) -> Result<char, TextError> {
        self.skip_blanks();
        self.rest.chars().next().ok_or(TextError::End)
    }

    fn skip(&mut self, expected: char) -> Result<(), TextError> {
        let found = self.peek()?;
        self.rest =
            self.rest.strip_prefix(expected).ok_or_else(|| TextError::Unexpected(found.to_string()))?;
        Ok(())
    }

    /// Up to the next blank or mark.
    fn word(&mut self) -> &'t str {
        self.skip_blanks();
        let end = self.rest.find(|letter: char| letter.is_whitespace() || "[]<>,'\"".contains(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    fn value(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value, TextError> {
        if depth > DEEPEST {
            return Err(TextError::Unexpected(self.rest.to_owned()));
        }
        match self.peek()? {
            '[' => self.array(wanted, depth),
            '<' => {
                self.skip('<')?;
                let value = self.value(None, depth + 1)?.boxed();
                self.skip('>')?;
                typed(value, wanted)
            }
            quote @ ('\'' | '"') => {
                let text = self.quoted(quote)?;
                string(text, wanted.unwrap_or("s"))
            }
            '@' => {
                let word = self.word();
                let signature = word.get(1..).unwrap_or_default();
                match first_type(signature) {
                    Some((_, "")) => self.value(Some(signature), depth + 1),
                    _ => Err(TextError::Unexpected(word.to_owned())),
                }
            }
            _ => {
                let word = self.word();
                match KEYWORDS.iter().find(|(keyword, _)| *keyword == word) {
                    Some((_, signature)) => self.value(Some(signature), depth + 1),
                    None => plain(word, wanted),
                }
            }
        }
    }

    fn array(&mut self, wanted: Option<&str>, depth: usize) -> Result<Value, TextError> {
        self.skip('[')?;
        let mut element = match wanted.map(|wanted| (wanted, wanted.strip_prefix('a'))) {
            Some((_, Some(element))) => Some(element.to_owned()),
            Some((wanted, None)) => {
                return Err(TextError::Type { text: "[".to_owned(), signature: wanted.to_owned() });
            }
            None => None,
        };
        let mut values = Vec::new();
        while self.peek()? != ']' {
            if !values.is_empty() {
                self.skip(',')?;
            }
            let value = self.value(element.as_deref(), depth + 1)?;
            element.get_or_insert_with(|| value.signature());
            values.push(value);
        }
        self.skip(']')?;
        // An empty array without a type could be anything.
        element
            .map(|element| Value::Array(element, values))
            .ok_or_else(|| TextError::Type { text: "[]".to_owned(), signature: "a?".to_owned() })
    }

    fn quoted(&mut self, quote: char) -> Result<String, TextError> {
        self.skip(quote)?;
        let mut text = String::new();
        let mut letters = self.rest.chars();
        loop {
            match letters.next().ok_or(TextError::End)? {
                '\\' => text.push(escape(&mut letters)?),
                letter if letter == quote => break,
                letter => text.push(letter),
            }
        }
        self.rest = letters.as_str();
        Ok(text)
    }
}

fn escape(letters: &mut std::str::Chars<'_>) -> Result<char, TextError> {
    let digits = match letters.next().ok_or(TextError::End)? {
        'a' => return Ok('\x07'),
        'b' => return Ok('\x08'),
        'f' => return Ok('\x0c'),
        'n' => return Ok('\n'),
        'r' => return Ok('\r'),
        't' => return Ok('\t'),
        'v' => return Ok('\x0b'),
        'u' => 4,
        'U' => 8,
        letter => return Ok(letter),
    };
    let code = letters.as_str().get(..digits).ok_or(TextError::End)?;
    *letters = letters.as_str().get(digits..).unwrap_or_default().chars();
    let letter = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
    letter.ok_or_else(|| TextError::Unexpected(code.to_owned()))
}

fn typed(value: Value, wanted: Option<&str>) -> Result<Value, TextError> {
    match wanted {
        Some(wanted) if value.signature() != wanted => {
            Err(TextError::Type { text: format!("{value:?}"), signature: wanted.to_owned() })
        }
        _ => Ok(value),
    }
}

fn string(text: String, wanted: &str) -> Result<Value, TextError> {
    match wanted {
        "s" => Ok(Value::String(text)),
        "o" if text.starts_with('/') => Ok(Value::Path(text)),
        "g" => Ok(Value::Signature(text)),
        _ => Err(TextError::Type { text, signature: wanted.to_owned() }),
    }
}

/// Words without quotes: truth and numbers.
fn plain(word: &str, wanted: Option<&str>) -> Result<Value, TextError> {
    match word {
        "true" => return typed(Value::Bool(true), wanted),
        "false" => return typed(Value::Bool(false), wanted),
        "" => return Err(TextError::End),
        _ => {}
    }
    let floats = word.contains('.') || (!word.starts_with("0x") && word.contains(['e', 'E']));
    let signature = wanted.unwrap_or(if floats { "d" } else { "i" });
    let wrong = || TextError::Type { text: word.to_owned(), signature: signature.to_owned() };
    if signature == "d" {
        return word.parse().map(Value::Double).map_err(|_| wrong());
    }
    let number = integer(word).ok_or_else(|| {
        let numeric = word.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
        if numeric { wrong() } else { TextError::Unexpected(word.to_owned()) }
    })?;
    let value = match signature {
        "y" => number.try_into().map(Value::Byte),
        "n" => number.try_into().map(Value::I16),
        "q" => number.try_into().map(Value::U16),
        "i" => number.try_into().map(Value::I32),
        "u" => number.try_into().map(Value::U32),
        "x" => number.try_into().map(Value::I64),
        "t" => number.try_into().map(Value::U64),
        _ => return Err(wrong()),
    };
    value.map_err(|_| wrong())
}

/// Decimal, `0x…` or `0…` (octal), with a sign.
fn integer(word: &str) -> Option<i128> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => i128::from(u64::from_str_radix(hex, 16).ok()?),
        None if digits.len() > 1 && digits.starts_with('0') => {
            i128::from(u64::from_str_radix(digits, 8).ok()?)
        }
        None => i128::from(digits.parse::<u64>().ok()?),
    };
    Some(if negative { -number } else { number })
}
