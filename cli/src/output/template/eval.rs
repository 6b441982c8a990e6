//! Executes the tree of a template.

use std::borrow::Cow;

use serde_json::Value;

use super::parser::{Command, Node, Operand, Pipeline, Place, Term};
use super::{Datum, Missing, Mode, TemplateError, function};

/// One execution.
pub(super) struct Evaluation<'a, 'o> {
    dot: Datum<'a>,
    variables: Vec<(String, Datum<'a>)>,
    mode: Mode,
    missing: Missing,
    out: &'o mut String,
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a, 'o> Evaluation<'a, 'o> {
    pub(super) fn new(data: Datum<'a>, mode: Mode, missing: Missing, out: &'o mut String) -> Self {
        Self { dot: data.clone(), variables: vec![("$".into(), data)], mode, missing, out }
    }

    pub(super) fn run(mut self, nodes: &[Node]) -> Result<(), TemplateError> {
        self.list(nodes).map(drop)
    }

    fn list(&mut self, nodes: &[Node]) -> Result<Flow, TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&value.print());
                    }
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                Node::If { .. } | Node::With { .. } | Node::Range { .. } => {
                    let scope = self.variables.len();
                    let flow = self.control(node)?;
                    self.variables.truncate(scope);
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
            }
        }
        Ok(Flow::On)
    }

    fn control(&mut self, node: &Node) -> Result<Flow, TemplateError> {
        match node {
            Node::If { test, then, otherwise } => {
                let chosen = if self.pipeline(test)?.truth() { then } else { otherwise };
                self.list(chosen)
            }
            Node::With { value, then, otherwise } => {
                let value = self.pipeline(value)?;
                if !value.truth() {
                    return self.list(otherwise);
                }
                let outer = std::mem::replace(&mut self.dot, value);
                let flow = self.list(then);
                self.dot = outer;
                flow
            }
            Node::Range { over, body, otherwise } => self.range(over, body, otherwise),
            _ => Ok(Flow::On),
        }
    }

    fn range(&mut self, over: &Pipeline, body: &[Node], otherwise: &[Node]) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let value = self.value(over)?;
        let items = self.items(&value, &over.place)?;
        if items.is_empty() {
            return self.list(otherwise);
        }
        let outer = self.dot.clone();
        for (key, item) in items {
            self.variables.truncate(scope);
            match &over.variables[..] {
                [one] => self.bind(one, item.clone(), over.declares),
                [first, second] => {
                    self.bind(first, key, over.declares);
                    self.bind(second, item.clone(), over.declares);
                }
                _ => {}
            }
            self.dot = item;
            let flow = self.list(body)?;
            if flow == Flow::Break {
                break;
            }
        }
        self.dot = outer;
        Ok(Flow::On)
    }

    fn items(&self, value: &Datum<'a>, place: &Place) -> Result<Vec<(Datum<'a>, Datum<'a>)>, TemplateError> {
        let json = value.value().into_owned();
        Ok(match json {
            Value::Null => Vec::new(),
            Value::Array(items) => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| (Datum::owned(index.into()), Datum::owned(item)))
                .collect(),
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.into_iter().collect();
                fields.sort_by(|a, b| a.0.cmp(&b.0));
                fields.into_iter().map(|(key, item)| (Datum::text(key), Datum::owned(item))).collect()
            }
            Value::Number(number) if number.is_i64() || number.is_u64() => (0..number.as_i64().unwrap_or(0))
                .map(|index| (Datum::owned(index.into()), Datum::owned(index.into())))
                .collect(),
            _ => return Err(self.error(place, &format!("range can't iterate over {}", value.print()))),
        })
    }

    fn bind(&mut self, name: &str, value: Datum<'a>, declares: bool) {
        if !declares && let Some(slot) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            slot.1 = value;
        } else {
            self.variables.push((name.to_owned(), value));
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Datum<'a>, TemplateError> {
        let value = self.value(pipeline)?;
        if let [name] = &pipeline.variables[..] {
            self.bind(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    fn value(&mut self, pipeline: &Pipeline) -> Result<Datum<'a>, TemplateError> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last)?);
        }
        Ok(last.unwrap_or(Datum::Absent))
    }

    fn command(&mut self, command: &Command, last: Option<Datum<'a>>) -> Result<Datum<'a>, TemplateError> {
        let [head, rest @ ..] = &command.words[..] else { return Ok(Datum::Absent) };
        if let Term::Function(name) = &head.term {
            return self.function(name, head, rest, last);
        }
        if rest.is_empty() && last.is_none() {
            return self.operand(head);
        }
        let mut arguments = Vec::new();
        for word in rest {
            arguments.push(self.operand(word)?.value().into_owned());
        }
        arguments.extend(last.map(|last| last.value().into_owned()));
        self.method(head, &arguments)
    }

    /// A method of a record: `.Label "name"`.
    fn method(&mut self, head: &Operand, arguments: &[Value]) -> Result<Datum<'a>, TemplateError> {
        let Some((name, path)) = head.fields.split_last() else {
            return Err(
                self.error(&head.place, &format!("can't give argument to non-function {}", head.place.text))
            );
        };
        let base = self.base(head)?;
        let target = self.walk(base, path, head)?;
        let called = match &target {
            Datum::Record(record) => record.call(name, arguments),
            _ => None,
        };
        match called {
            Some(value) => Ok(Datum::owned(value)),
            None => {
                Err(self
                    .error(&head.place, &format!("{name} has arguments but cannot be invoked as function")))
            }
        }
    }

    fn function(
        &mut self,
        name: &str,
        head: &Operand,
        rest: &[Operand],
        last: Option<Datum<'a>>,
    ) -> Result<Datum<'a>, TemplateError> {
        let fail = |this: &Self, message: String| this.error(&head.place, &message);
        if matches!(name, "and" | "or") {
            let mut value = Datum::Absent;
            for word in rest {
                value = self.operand(word)?;
                if value.truth() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for word in rest {
            arguments.push(self.operand(word)?);
        }
        arguments.extend(last);
        match function::call(name, &arguments, self.mode) {
            Ok(value) => Ok(value),
            Err(function::CallError::Count { want, got }) => {
                Err(fail(self, format!("wrong number of args for {name}: want {want} got {got}")))
            }
            Err(function::CallError::Failed(cause)) => {
                Err(fail(self, format!("error calling {name}: {cause}")))
            }
            Err(function::CallError::Argument(cause)) => Err(fail(self, cause)),
        }
    }

    fn base(&mut self, operand: &Operand) -> Result<Datum<'a>, TemplateError> {
        Ok(match &operand.term {
            Term::Dot => self.dot.clone(),
            Term::Nil => Datum::Absent,
            Term::Bool(value) => Datum::owned((*value).into()),
            Term::Integer(value) => Datum::owned((*value).into()),
            Term::Float(value) => Datum::owned((*value).into()),
            Term::Text(value) => Datum::text(value.clone()),
            Term::Variable(name) => self
                .variables
                .iter()
                .rev()
                .find(|(known, _)| known == name)
                .map_or(Datum::Absent, |(_, value)| value.clone()),
            Term::Parenthesis(inner) => self.pipeline(inner)?,
            Term::Function(name) => self.function(name, operand, &[], None)?,
        })
    }

    fn operand(&mut self, operand: &Operand) -> Result<Datum<'a>, TemplateError> {
        let base = self.base(operand)?;
        self.walk(base, &operand.fields, operand)
    }

    fn walk(
        &self,
        mut value: Datum<'a>,
        path: &[String],
        operand: &Operand,
    ) -> Result<Datum<'a>, TemplateError> {
        for name in path {
            if let Some(found) = value.member(name) {
                value = found;
                continue;
            }
            let place = &operand.place;
            let strict = self.missing == Missing::Strict;
            value = match &value {
                Datum::Absent if strict => {
                    return Err(self.error(place, &format!("nil data; no entry for key \"{name}\"")));
                }
                Datum::Absent => Datum::Absent,
                Datum::Map(map) if map.is_object() && !strict => Datum::Absent,
                Datum::Struct(Cow::Borrowed(Value::Null)) | Datum::Struct(Cow::Owned(Value::Null)) => {
                    return Err(self.error(place, &format!("nil pointer evaluating interface {{}}.{name}")));
                }
                Datum::Record(record) => {
                    let kind = record.type_name();
                    return Err(self.error(place, &format!("can't evaluate field {name} in type {kind}")));
                }
                Datum::Map(map) | Datum::Struct(map) if map.is_object() => {
                    return Err(self.error(place, &format!("map has no entry for key \"{name}\"")));
                }
                other => {
                    let kind = other.kind();
                    return Err(self.error(place, &format!("can't evaluate field {name} in type {kind}")));
                }
            };
        }
        Ok(value)
    }

    fn error(&self, place: &Place, message: &str) -> TemplateError {
        let Place { line, column, text } = place;
        TemplateError(format!("template: :{line}:{column}: executing \"\" at <{text}>: {message}"))
    }
}
