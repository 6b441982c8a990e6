//! Go's `text/template` as far as Docker's `--format` needs it: fields, variables, pipelines,
//! `if`/`else`/`with`/`range`/`break`/`continue`, comments, trimming, Go's functions and Docker's.
//!
//! Data are JSON values and [`Record`]s (a table's row, whose columns are looked up by name).
//! Error texts are those of Go, since people and scripts match them.

mod eval;
mod function;
mod lexer;
mod parser;
mod printf;
mod value;

pub(crate) use value::{Datum, Record};

use eval::Evaluation;
use parser::Node;

/// Why a template could not be read or executed; the text is Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TemplateError(String);

/// Which meaning Docker's functions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They transform their argument.
    Data,
    /// A table's header line: they leave it as it is.
    Header,
}

/// What a map without the wanted key answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// `<no value>` where Go would see a map; an error where it would see a struct.
    Typed,
    /// An error, always: the data has no known type.
    Strict,
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<Node>,
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { nodes: parser::parse(source)? })
    }

    /// Executes it on `data` and appends the output to `out`.
    pub(crate) fn execute(
        &self,
        data: Datum<'_>,
        mode: Mode,
        missing: Missing,
        out: &mut String,
    ) -> Result<(), TemplateError> {
        Evaluation::new(data, mode, missing, out).run(&self.nodes)
    }

    /// Whether the field `name` of the data itself is mentioned anywhere.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        parser::mentions(&self.nodes, name)
    }
}

#[cfg(test)]
mod tests;
