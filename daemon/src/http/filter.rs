//! The `filters` parameter: which values of which names a list is cut down to.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::HttpError;

/// Name to wanted values. An absent name matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Reads `{"status":["running"]}`, or the old form `{"status":{"running":true}}`.
    pub(crate) fn parse(text: &str, accepted: &[&str]) -> Result<Self, HttpError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let names: BTreeMap<String, Value> =
            serde_json::from_str(text).map_err(|_| HttpError::invalid(format!("invalid filter: {text}")))?;
        let mut filters = BTreeMap::new();
        for (name, values) in names {
            if !accepted.contains(&name.as_str()) {
                return Err(HttpError::invalid(format!("invalid filter '{name}'")));
            }
            let values =
                words(values).ok_or_else(|| HttpError::invalid(format!("invalid filter: {text}")))?;
            filters.insert(name, values);
        }
        Ok(Self(filters))
    }

    /// The wanted values of a name.
    pub(crate) fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether nothing is asked for under a name.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        self.values(name).is_empty()
    }

    /// Whether any wanted value of `name` holds; also when none is wanted.
    pub(crate) fn any(&self, name: &str, holds: impl FnMut(&String) -> bool) -> bool {
        self.lacks(name) || self.values(name).iter().any(holds)
    }

    /// Whether `value` is wanted exactly; also when nothing is.
    pub(crate) fn exact(&self, name: &str, value: &str) -> bool {
        self.any(name, |wanted| wanted == value)
    }

    /// Whether a value under `name` occurs in `subject` as a part or as an anchored pattern (`^a`, `b$`).
    pub(crate) fn pattern(&self, name: &str, subject: &str) -> bool {
        self.any(name, |wanted| {
            wanted == subject
                || regex::RegexBuilder::new(wanted)
                    .size_limit(1 << 18)
                    .build()
                    .is_ok_and(|regex| regex.is_match(subject))
        })
    }

    /// Whether every wanted `label` (`name` or `name=value`) is among `labels`.
    pub(crate) fn labels(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(name).iter().all(|wanted| has_label(labels, wanted))
    }

    /// Whether none of the `label!` values is among `labels`.
    pub(crate) fn no_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.values("label!").iter().any(|unwanted| has_label(labels, unwanted))
    }

    /// A switch (`true`, `1`, `false`, `0`); `None` when absent.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, HttpError> {
        let values = self.values(name);
        let one = |value: &String| match value.as_str() {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(HttpError::invalid(format!("invalid filter '{name}={value}'"))),
        };
        let flags = values.iter().map(one).collect::<Result<Vec<bool>, HttpError>>()?;
        match flags.as_slice() {
            [] => Ok(None),
            [first, rest @ ..] if rest.iter().all(|other| other == first) => Ok(Some(*first)),
            _ => Err(HttpError::invalid(format!("invalid filter '{name}': both true and false"))),
        }
    }
}

fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

fn words(values: Value) -> Option<Vec<String>> {
    match values {
        Value::Array(values) => values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect(),
        Value::Object(values) => {
            Some(values.into_iter().filter(|(_, on)| on == true).map(|(value, _)| value).collect())
        }
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same() {
        let new = Filters::parse("{\"status\":[\"running\",\"paused\"]}", &["status"]).expect("new form");
        let old =
            Filters::parse("{\"status\":{\"paused\":true,\"running\":true,\"dead\":false}}", &["status"]);
        let mut old = old.expect("old form");
        old.0.get_mut("status").expect("status").sort_by(|a, b| b.cmp(a));
        assert_eq!(new, old);
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let error = Filters::parse("{\"x\":[\"1\"]}", &["status"]).expect_err("unknown");
        assert!(format!("{error:?}").contains("invalid filter 'x'"));
        assert!(Filters::parse("nonsense", &[]).is_err());
        assert!(Filters::parse("{\"status\":5}", &["status"]).is_err());
    }

    #[test]
    fn all_labels_must_be_there_and_any_other_value() {
        let filters = Filters::parse("{\"label\":[\"a=b\",\"c\"],\"name\":[\"^web\"]}", &["label", "name"])
            .expect("filters");
        let labels =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert!(filters.labels("label", &labels(&[("a", "b"), ("c", "")])));
        assert!(!filters.labels("label", &labels(&[("a", "x"), ("c", "")])));
        assert!(filters.pattern("name", "web1") && !filters.pattern("name", "a-web"));
    }
}
