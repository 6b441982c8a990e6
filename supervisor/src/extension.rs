//! Extensions: messages of any type that clients hang on containers and sandboxes, by name.

use std::collections::BTreeMap;

use prost_types::Any;

/// Extensions of an object, by name.
pub(crate) type Extensions = BTreeMap<String, Any>;

/// Whether each has a name.
pub(crate) fn are_named(extensions: &Extensions) -> bool {
    !extensions.contains_key("")
}

/// Applies one path of a field mask to extensions: `extensions` takes all of `new`, `extensions.NAME` one of them.
///
/// `false` when the path is about something else.
pub(crate) fn apply_mask(path: &str, extensions: &mut Extensions, new: &Extensions) -> bool {
    if path == "extensions" {
        new.clone_into(extensions);
        return true;
    }
    let Some(name) = path.strip_prefix("extensions.") else { return false };
    match new.get(name) {
        Some(extension) => extensions.insert(name.to_owned(), extension.clone()),
        None => extensions.remove(name),
    };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(text: &[&str]) -> Extensions {
        let extension = |value: &str| Any { type_url: "t".to_owned(), value: value.as_bytes().to_vec() };
        text.iter().map(|name| (name[..1].to_owned(), extension(name))).collect()
    }

    #[test]
    fn a_path_takes_one_or_all() {
        let new = extensions(&["a2", "c1"]);
        let mut kept = extensions(&["a1", "b1"]);
        assert!(apply_mask("extensions.a", &mut kept, &new) && apply_mask("extensions.b", &mut kept, &new));
        assert_eq!(kept, extensions(&["a2"]), "what is new does not have goes");
        assert!(!apply_mask("labels.a", &mut kept, &new));
        assert!(apply_mask("extensions", &mut kept, &new));
        assert_eq!(kept, new);
        assert!(are_named(&new) && !are_named(&Extensions::from([(String::new(), Any::default())])));
    }
}
