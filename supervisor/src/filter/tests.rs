//! The language, by table and by property.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Adaptor, Filter};

struct Fields(BTreeMap<String, String>);

impl Adaptor for Fields {
    fn field(&self, path: &[&str]) -> Option<String> {
        self.0.get(&path.join(".")).cloned()
    }
}

fn object() -> Fields {
    let fields = [("name", "bar"), ("labels.foo", "true"), ("labels.very.long", "a,b"), ("n", "10")];
    Fields(fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[test]
fn selectors_mean_what_containerd_says() {
    for (filter, expected) in [
        ("", true),
        ("name==bar", true),
        ("name==foo", false),
        ("name!=foo", true),
        ("absent!=foo", true),
        ("absent", false),
        ("labels.foo", true),
        ("labels.foo,name==bar", true),
        ("labels.foo,name==foo", false),
        (r#"labels."very.long"=="a,b""#, true),
        ("name~=|^b.r$|", true),
        ("name~=/^b/", true),
        ("name~=^b", true),
        ("absent~=|^$|", true),
        (r#"name=="b\x61r""#, true),
        (r#"name=="\142ar""#, true),
        ("name == bar", true),
        ("n==10", true),
    ] {
        let parsed = Filter::parse(&[filter]).unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!(parsed.matches(&object()), expected, "{filter}");
    }
    assert!(Filter::parse::<&str>(&[]).expect("no filter").matches(&object()));
    assert!(Filter::parse(&["name==foo", "name==bar"]).expect("two").matches(&object()));
}

#[test]
fn a_refusal_points_at_the_place() {
    for (filter, message) in [
        ("name=bar", "filters: parse error: [name >|=|< bar]: unsupported operator \"=\""),
        ("name==", "filters: parse error: [name==]: expected value or quoted"),
        ("name==\"bar", "filters: parse error: [name== >|\"|< bar]: quoted literal not terminated"),
        ("name==|bar|", "filters: parse error: [name== >|||< bar|]: invalid quote encountered"),
        (",", "filters: parse error: [ >|,|< ]: expected field or quoted"),
        ("a b", "filters: parse error: [a  >|b|< ]: expected an operator (\"==\"|\"!=\"|\"~=\")"),
    ] {
        assert_eq!(Filter::parse(&[filter]).expect_err(filter).to_string(), message);
    }
    assert!(Filter::parse(&["name~=|(|"]).is_err());
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(filter in ".{0,40}") {
        drop(Filter::parse(&[filter]));
    }

    #[test]
    fn quoting_carries_any_value(value in "[^\\x00\\n\\r]{0,20}") {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let fields = Fields(BTreeMap::from([("name".to_owned(), value)]));
        let filter = Filter::parse(&[format!("name==\"{quoted}\"")]).expect("quoted");
        prop_assert!(filter.matches(&fields));
    }

    #[test]
    fn equal_and_unequal_exclude_each_other(value in "[a-z0-9]{1,8}", other in "[a-z0-9]{1,8}") {
        let fields = Fields(BTreeMap::from([("name".to_owned(), value)]));
        let equal = Filter::parse(&[format!("name=={other}")]).expect("equal").matches(&fields);
        let unequal = Filter::parse(&[format!("name!={other}")]).expect("unequal").matches(&fields);
        prop_assert_ne!(equal, unequal);
    }
}
