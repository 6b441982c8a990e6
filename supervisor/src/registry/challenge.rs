//! `WWW-Authenticate`: what a registry wants to see before it answers.

use std::collections::BTreeMap;

/// The way in that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Name and password with each request.
    Basic,
    /// A token from a token server.
    Bearer(Bearer),
}

/// Where a token comes from and what it must allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// Address of the token server.
    pub(crate) realm: String,
    /// The name of the registry there.
    pub(crate) service: String,
    /// What the request needs, such as `repository:library/busybox:pull`.
    pub(crate) scope: Option<String>,
    /// Why a token that was sent is not good, such as `insufficient_scope`.
    pub(crate) error: Option<String>,
}

impl Challenge {
    /// The best of the challenges in `headers`: a token before a password.
    pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut basic = false;
        for header in headers {
            for (scheme, mut parameters) in challenges(header) {
                if scheme.eq_ignore_ascii_case("bearer") {
                    let Some(realm) = parameters.remove("realm") else { continue };
                    return Some(Self::Bearer(Bearer {
                        realm,
                        service: parameters.remove("service").unwrap_or_default(),
                        scope: parameters.remove("scope").filter(|scope| !scope.is_empty()),
                        error: parameters.remove("error"),
                    }));
                }
                basic |= scheme.eq_ignore_ascii_case("basic");
            }
        }
        basic.then_some(Self::Basic)
    }
}

/// The challenges of one header: `SCHEME key=value, key="quoted", SCHEME …`.
fn challenges(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut challenges: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let length = rest.find(|letter: char| !is_token(letter)).unwrap_or(rest.len());
        if length == 0 {
            return challenges;
        }
        let (word, after) = rest.split_at(length);
        let value = after.trim_start().strip_prefix('=').map(str::trim_start);
        match (value, challenges.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let Some((value, after)) = token_or_quoted(value) else { return challenges };
                parameters.insert(word.to_ascii_lowercase(), value);
                rest = after;
            }
            (Some(_), None) => return challenges,
            (None, _) => {
                challenges.push((word.to_owned(), BTreeMap::new()));
                rest = after;
            }
        }
    }
}

fn token_or_quoted(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let length = text.find(|letter: char| !is_token(letter)).unwrap_or(text.len());
        return Some((text[..length].to_owned(), &text[length..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            _ => value.push(letter),
        }
    }
    None
}

fn is_token(letter: char) -> bool {
    letter.is_ascii_graphic() && !"\"(),/:;<=>?@[\\]{}".contains(letter)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choose(headers: &[&str]) -> Option<Challenge> {
        Challenge::choose(headers.iter().copied())
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let bearer = Challenge::Bearer(Bearer {
            realm: "https://auth.docker.io/token".to_owned(),
            service: "registry.docker.io".to_owned(),
            scope: Some("repository:a/b:pull,push".to_owned()),
            error: None,
        });
        let header = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(choose(&[header]), Some(bearer.clone()));
        assert_eq!(choose(&["Basic realm=\"x\"", header]), Some(bearer.clone()));
        assert_eq!(choose(&[&format!("Basic realm=x, {header}")]), Some(bearer));
        assert_eq!(choose(&["basic realm=\"Registry Realm\""]), Some(Challenge::Basic));
        assert_eq!(choose(&["Negotiate", "Bearer service=x"]), None, "a token without a realm");
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn quotes_may_hold_anything() {
        let Some(Challenge::Bearer(bearer)) =
            choose(&[r#"Bearer realm="a\"b,c=d", service=plain , error="insufficient_scope""#])
        else {
            panic!("a bearer challenge");
        };
        assert_eq!((bearer.realm.as_str(), bearer.service.as_str()), ("a\"b,c=d", "plain"));
        assert_eq!(bearer.error.as_deref(), Some("insufficient_scope"));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "\\PC{0,60}") {
            drop(choose(&[&header]));
        }
    }
}
