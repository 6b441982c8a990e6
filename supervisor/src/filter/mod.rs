//! containerd's filter language: which objects a list or a subscription wants.
//!
//! ```text
//! filters   := selectors or selectors or ...          one match is enough; none at all match everything
//! selectors := selector ("," selector)*               all must match
//! selector  := fieldpath [operator value]             without an operator: the field is present
//! fieldpath := field ("." field)*
//! field     := quoted | [A-Za-z0-9_]+
//! operator  := "==" | "!=" | "~="                     "~=" is a regular expression
//! value     := quoted | [^\s,]+
//! quoted    := a Go string in `"`, and after "~=" also in `/` or `|`
//! ```

mod parse;
mod scan;
#[cfg(test)]
mod tests;

use dhow_proto::error::Kind;
use regex::Regex;

use crate::fault::Fault;

/// Something with named fields.
pub(crate) trait Adaptor {
    /// The value of the field at `path`; `None` when it is not present.
    fn field(&self, path: &[&str]) -> Option<String>;
}

/// Why a filter was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("filters: parse error: [{before} >|{at}|< {after}]: {problem}")]
    At { before: String, at: char, after: String, problem: String },
    #[error("filters: parse error: [{input}]: {problem}")]
    End { input: String, problem: String },
    #[error("filters: compile regular expression {expression:?}")]
    Regex { expression: String, source: Box<regex::Error> },
}

impl Fault for FilterError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// A parsed list of filters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter(Vec<Vec<Selector>>);

#[derive(Debug, Clone)]
struct Selector {
    path: Vec<String>,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Present,
    Equal(String),
    Unequal(String),
    Match(Regex),
}

impl Filter {
    /// Parses `filters`, of which one must match.
    pub(crate) fn parse<S: AsRef<str>>(filters: &[S]) -> Result<Self, FilterError> {
        filters.iter().map(|filter| parse::selectors(filter.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `object` is wanted.
    pub(crate) fn matches(&self, object: &impl Adaptor) -> bool {
        self.0.is_empty() || self.0.iter().any(|all| all.iter().all(|selector| selector.matches(object)))
    }
}

impl Selector {
    fn matches(&self, object: &impl Adaptor) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let value = object.field(&path);
        match &self.test {
            Test::Present => value.is_some(),
            Test::Equal(wanted) => value.as_ref() == Some(wanted),
            // An absent field counts as the empty text here, as it does for containerd.
            Test::Unequal(unwanted) => value.unwrap_or_default() != *unwanted,
            Test::Match(expression) => expression.is_match(&value.unwrap_or_default()),
        }
    }
}
