//! Tokens of a filter.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Quoted,
    Value,
    Field,
    Separator,
    Operator,
    Illegal,
    /// A character that begins no token.
    Other,
}

/// A token: where it begins, and its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) text: &'a str,
}

/// The scanner; after an operator the next bare word is a value, which may hold almost anything.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    input: &'a str,
    position: usize,
    value: bool,
    pub(super) problem: &'static str,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(input: &'a str) -> Self {
        Self { input, position: 0, value: false, problem: "" }
    }

    /// The next character, without taking it.
    pub(super) fn peek(&self) -> Option<char> {
        self.input.get(self.position..)?.chars().next()
    }

    /// Where the next character is.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.position += next.len_utf8();
        Some(next)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.next();
        }
    }

    /// Takes the next token.
    pub(super) fn token(&mut self) -> Token<'a> {
        self.take_while(char::is_whitespace);
        let start = self.position;
        let kind = match self.next() {
            None => Kind::End,
            Some('\0') => {
                self.problem = "unexpected null";
                Kind::Illegal
            }
            Some(quote @ ('/' | '|' | '"')) => self.quoted(quote),
            Some(',' | '.') => {
                self.value = false;
                Kind::Separator
            }
            Some('=' | '!' | '~') => {
                self.take_while(|next| matches!(next, '=' | '!' | '~'));
                self.value = true;
                Kind::Operator
            }
            Some(_) if self.value => {
                self.take_while(|next| next != ',' && !next.is_whitespace() && !next.is_control());
                self.value = false;
                Kind::Value
            }
            Some(first) if is_field(first) => {
                self.take_while(is_field);
                Kind::Field
            }
            Some(_) => Kind::Other,
        };
        Token { kind, start, text: self.input.get(start..self.position).unwrap_or_default() }
    }

    fn quoted(&mut self, quote: char) -> Kind {
        self.value = false;
        loop {
            match self.next() {
                None | Some('\n' | '\0') => {
                    self.problem = "quoted literal not terminated";
                    return Kind::Illegal;
                }
                Some('\\') => {
                    // What follows is checked when the quotes come off.
                    self.next();
                }
                Some(end) if end == quote => return Kind::Quoted,
                Some(_) => {}
            }
        }
    }
}

fn is_field(character: char) -> bool {
    character == '_' || character.is_ascii_alphanumeric()
}
