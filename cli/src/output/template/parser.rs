//! Builds the tree of a template.

use super::lexer::{Piece, Token, parse_integer, pieces};
use super::{TemplateError, function};

/// A part of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If { test: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    With { value: Pipeline, then: Vec<Self>, otherwise: Vec<Self> },
    Range { over: Pipeline, body: Vec<Self>, otherwise: Vec<Self> },
    Break,
    Continue,
}

/// `$v := command | command`
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
    pub(super) place: Place,
}

/// A function or value with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) words: Vec<Operand>,
}

/// One word of a command.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) term: Term,
    /// Fields taken from the term, one after the other.
    pub(super) fields: Vec<String>,
    pub(super) place: Place,
}

/// What an operand starts from.
#[derive(Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    Variable(String),
    Function(String),
    Parenthesis(Box<Pipeline>),
}

/// Where something stands, for error messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) text: String,
}

struct Parser<'a> {
    source: &'a str,
    pieces: std::vec::IntoIter<Piece>,
    /// Names of the variables in scope.
    variables: Vec<String>,
    loops: usize,
}

/// How a list of nodes ended.
enum Stop {
    Source,
    End,
    /// `else` with the tokens that follow it.
    Else(Vec<(usize, Token)>, usize),
}

/// Reads a template.
pub(super) fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser =
        Parser { source, pieces: pieces(source)?.into_iter(), variables: vec!["$".into()], loops: 0 };
    let (nodes, end) = parser.list()?;
    match end {
        Stop::Source => Ok(nodes),
        Stop::End => Err(parser.error(source.len(), "unexpected {{end}}")),
        Stop::Else(_, at) => Err(parser.error(at, "unexpected {{else}}")),
    }
}

impl Parser<'_> {
    fn error(&self, at: usize, message: &str) -> TemplateError {
        let line = 1 + self.source[..at.min(self.source.len())].matches('\n').count();
        TemplateError(format!("template: :{line}: {message}"))
    }

    fn place(&self, at: usize, text: &str) -> Place {
        let before = &self.source[..at];
        let line = 1 + before.matches('\n').count();
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1);
        let mut text = text.to_owned();
        if text.chars().count() > 20 {
            text = text.chars().take(20).chain("...".chars()).collect();
        }
        Place { line, column, text }
    }

    fn list(&mut self) -> Result<(Vec<Node>, Stop), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (mut tokens, start) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens, start) => (tokens, start),
            };
            if tokens.first().is_some_and(|(_, token)| *token == Token::Space) {
                tokens.remove(0);
            }
            let keyword = match tokens.first() {
                Some((_, Token::Word(word))) => word.clone(),
                _ => String::new(),
            };
            let rest = || tokens.iter().skip(1).cloned().collect::<Vec<_>>();
            match keyword.as_str() {
                "end" => return Ok((nodes, Stop::End)),
                "else" => return Ok((nodes, Stop::Else(rest(), start))),
                "if" | "with" | "range" => nodes.push(self.control(&keyword, &rest(), start)?),
                "break" | "continue" if self.loops == 0 => {
                    return Err(self.error(start, &format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "define" | "block" | "template" => {
                    return Err(self.error(start, &format!("{{{{{keyword}}}}} is not supported here")));
                }
                _ => nodes.push(Node::Action(self.pipeline(&tokens, start, "command")?)),
            }
        }
        Ok((nodes, Stop::Source))
    }

    fn control(
        &mut self,
        keyword: &str,
        tokens: &[(usize, Token)],
        start: usize,
    ) -> Result<Node, TemplateError> {
        let scope = self.variables.len();
        let pipeline = self.pipeline(tokens, start, keyword)?;
        let looping = usize::from(keyword == "range");
        self.loops += looping;
        let (then, mut end) = self.list()?;
        self.loops -= looping;
        let mut otherwise = Vec::new();
        if let Stop::Else(rest, at) = end {
            match trim(&rest) {
                [] => (otherwise, end) = self.list()?,
                // {{else if X}} … {{end}}: the nested one takes the {{end}}.
                [(_, Token::Word(word)), nested @ ..] if word == keyword && keyword != "range" => {
                    otherwise = vec![self.control(keyword, nested, at)?];
                    end = Stop::End;
                }
                _ => return Err(self.error(at, "unexpected token in {{else}}")),
            }
        }
        self.variables.truncate(scope);
        match end {
            Stop::End => {}
            Stop::Source => return Err(self.error(self.source.len(), "unexpected EOF")),
            Stop::Else(_, at) => return Err(self.error(at, "expected end; found {{else}}")),
        }
        Ok(match keyword {
            "if" => Node::If { test: pipeline, then, otherwise },
            "with" => Node::With { value: pipeline, then, otherwise },
            _ => Node::Range { over: pipeline, body: then, otherwise },
        })
    }

    fn pipeline(
        &mut self,
        tokens: &[(usize, Token)],
        start: usize,
        context: &str,
    ) -> Result<Pipeline, TemplateError> {
        let tokens: Vec<_> = trim(tokens).to_vec();
        let end = tokens.last().map_or(start, |(at, _)| *at);
        let mut variables = Vec::new();
        let mut declares = false;
        let mut rest = &tokens[..];
        let solid: Vec<(usize, usize, &Token)> = tokens
            .iter()
            .enumerate()
            .filter(|(_, (_, token))| *token != Token::Space)
            .map(|(index, (at, token))| (index, *at, token))
            .collect();
        match &solid[..] {
            [(_, _, Token::Variable(name)), (index, _, operator @ (Token::Declare | Token::Assign)), ..] => {
                declares = **operator == Token::Declare;
                if !declares && !self.variables.contains(name) {
                    return Err(self.error(start, &format!("undefined variable \"{name}\"")));
                }
                variables.push(name.clone());
                rest = &tokens[index + 1..];
            }
            [
                (_, _, Token::Variable(key)),
                (_, _, Token::Comma),
                (_, _, Token::Variable(value)),
                (index, _, operator @ (Token::Declare | Token::Assign)),
                ..,
            ] if context == "range" => {
                declares = **operator == Token::Declare;
                variables = vec![key.clone(), value.clone()];
                rest = &tokens[index + 1..];
            }
            _ => {}
        }
        let mut commands = Vec::new();
        for part in split(trim(rest), &Token::Pipe) {
            let words = self.words(part, start)?;
            if words.is_empty() {
                let message = if commands.is_empty() {
                    format!("missing value for {context}")
                } else {
                    "missing value for command".to_owned()
                };
                return Err(self.error(end, &message));
            }
            if !commands.is_empty()
                && !matches!(
                    words[0].term,
                    Term::Function(_) | Term::Dot | Term::Variable(_) | Term::Parenthesis(_)
                )
            {
                return Err(self.error(
                    end,
                    &format!("non executable command in pipeline stage {}", commands.len() + 1),
                ));
            }
            commands.push(Command { words });
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        let first = rest.first().map_or(start, |(at, _)| *at);
        let last = self.source[end..].find("}}").map_or(self.source.len(), |found| end + found);
        let place = self.place(first, self.source[first..last].trim());
        Ok(Pipeline { variables, declares, commands, place })
    }

    fn words(&mut self, tokens: &[(usize, Token)], start: usize) -> Result<Vec<Operand>, TemplateError> {
        let mut operands: Vec<Operand> = Vec::new();
        let mut index = 0;
        let mut glued = false;
        while let Some((at, token)) = tokens.get(index) {
            let at = *at;
            index += 1;
            let term = match token {
                Token::Space => {
                    glued = false;
                    continue;
                }
                Token::Field(name) => {
                    if let Some(last) = operands.last_mut().filter(|_| glued) {
                        if matches!(
                            last.term,
                            Term::Text(_) | Term::Integer(_) | Term::Float(_) | Term::Bool(_) | Term::Nil
                        ) {
                            return Err(
                                self.error(at, &format!("unexpected . after term \"{}\"", last.place.text))
                            );
                        }
                        last.fields.push(name.clone());
                        let text = format!("{}.{name}", last.place.text);
                        let first = matches!(last.term, Term::Dot) && last.fields.len() == 2
                            || last.fields.len() == 1;
                        let place = self.place(at, &text);
                        last.place = Place {
                            line: place.line,
                            column: if first { place.column } else { last.place.column },
                            text,
                        };
                        continue;
                    }
                    operands.push(Operand {
                        term: Term::Dot,
                        fields: vec![name.clone()],
                        place: self.place(at, &format!(".{name}")),
                    });
                    glued = true;
                    continue;
                }
                Token::Dot => Term::Dot,
                Token::Variable(name) => {
                    if !self.variables.contains(name) {
                        return Err(self.error(at, &format!("undefined variable \"{name}\"")));
                    }
                    Term::Variable(name.clone())
                }
                Token::Text(text) => Term::Text(text.clone()),
                Token::Number(text) => match parse_integer(text) {
                    Some(integer) => Term::Integer(integer),
                    None => Term::Float(text.parse().unwrap_or(0.0)),
                },
                Token::Word(word) => match word.as_str() {
                    "true" => Term::Bool(true),
                    "false" => Term::Bool(false),
                    "nil" => Term::Nil,
                    word if function::exists(word) => Term::Function(word.to_owned()),
                    word => return Err(self.error(at, &format!("function \"{word}\" not defined"))),
                },
                Token::Open => {
                    let close =
                        matching(tokens, index).ok_or_else(|| self.error(start, "unclosed left paren"))?;
                    let inner = self.pipeline(&tokens[index..close], at, "parenthesized pipeline")?;
                    index = close + 1;
                    Term::Parenthesis(Box::new(inner))
                }
                Token::Close => return Err(self.error(at, "unexpected right paren")),
                Token::Pipe | Token::Declare | Token::Assign | Token::Comma => {
                    return Err(self.error(at, "unexpected token in operand"));
                }
            };
            if glued {
                return Err(self.error(at, "unexpected token in operand; missing space?"));
            }
            let end = tokens.get(index).map_or_else(
                || self.source[at..].find("}}").map_or(self.source.len(), |found| at + found),
                |(end, _)| *end,
            );
            let place = self.place(at, self.source[at..end].trim());
            operands.push(Operand { term, fields: Vec::new(), place });
            glued = true;
        }
        Ok(operands)
    }
}

fn trim(mut tokens: &[(usize, Token)]) -> &[(usize, Token)] {
    while let [(_, Token::Space), rest @ ..] = tokens {
        tokens = rest;
    }
    while let [rest @ .., (_, Token::Space)] = tokens {
        tokens = rest;
    }
    tokens
}

/// Cuts at `separator` outside parentheses.
fn split<'a>(tokens: &'a [(usize, Token)], separator: &Token) -> Vec<&'a [(usize, Token)]> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (index, (_, token)) in tokens.iter().enumerate() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            token if depth == 0 && token == separator => {
                parts.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts
}

fn matching(tokens: &[(usize, Token)], from: usize) -> Option<usize> {
    let mut depth = 1;
    for (index, (_, token)) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

/// Whether the field `name` of the template's data is mentioned.
pub(super) fn mentions(nodes: &[Node], name: &str) -> bool {
    fn pipeline(value: &Pipeline, name: &str) -> bool {
        value.commands.iter().flat_map(|command| &command.words).any(|operand| {
            let inner = match &operand.term {
                Term::Parenthesis(inner) => pipeline(inner, name),
                _ => false,
            };
            inner || operand.fields.first().is_some_and(|field| field == name)
        })
    }
    nodes.iter().any(|node| match node {
        Node::Text(_) | Node::Break | Node::Continue => false,
        Node::Action(value) => pipeline(value, name),
        Node::If { test: value, then, otherwise }
        | Node::With { value, then, otherwise }
        | Node::Range { over: value, body: then, otherwise } => {
            pipeline(value, name) || mentions(then, name) || mentions(otherwise, name)
        }
    })
}
