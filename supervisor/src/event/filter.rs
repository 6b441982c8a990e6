//! Subscription filters: comma-separated conditions on fields, all of which must hold.

use regex::Regex;

use super::{Envelope, field};

/// Why a filter was refused.
#[derive(Debug, thiserror::Error)]
#[error("parse filter {text:?}")]
pub(crate) struct FilterError {
    text: String,
    source: Option<regex::Error>,
}

#[derive(Debug)]
enum Test {
    Present,
    Equal(String),
    Unequal(String),
    Match(Regex),
}

/// A disjunction of conjunctions; without any, everything matches.
#[derive(Debug)]
pub(super) struct Filter(Vec<Vec<(Vec<String>, Test)>>);

impl Filter {
    pub(super) fn parse(filters: &[String]) -> Result<Self, FilterError> {
        let conjunction = |text: &String| text.split(',').map(condition).collect();
        filters.iter().map(conjunction).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn matches(&self, envelope: &Envelope) -> bool {
        let holds = |(path, test): &(Vec<String>, Test)| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let value = field::of(envelope, &path);
            match test {
                Test::Present => value.is_some(),
                Test::Equal(wanted) => value.as_ref() == Some(wanted),
                Test::Unequal(unwanted) => value.as_ref() != Some(unwanted),
                Test::Match(regex) => value.is_some_and(|value| regex.is_match(&value)),
            }
        };
        self.0.is_empty() || self.0.iter().any(|conditions| conditions.iter().all(holds))
    }
}

fn condition(text: &str) -> Result<(Vec<String>, Test), FilterError> {
    let path = |path: &str| path.split('.').map(str::to_owned).collect();
    let unquote = |value: &str| value.trim_matches(|quote| quote == '"' || quote == '|').to_owned();
    if let Some((name, value)) = text.split_once("~=") {
        let regex = Regex::new(&unquote(value))
            .map_err(|source| FilterError { text: text.to_owned(), source: Some(source) })?;
        return Ok((path(name), Test::Match(regex)));
    }
    if let Some((name, value)) = text.split_once("==") {
        return Ok((path(name), Test::Equal(unquote(value))));
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Ok((path(name), Test::Unequal(unquote(value))));
    }
    if text.is_empty() {
        return Err(FilterError { text: text.to_owned(), source: None });
    }
    Ok((path(text), Test::Present))
}
