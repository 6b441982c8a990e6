//! Reading JSON the way Go's decoder does, which every client of Docker relies on.
//!
//! - Keys of a struct match without regard to case (`hostname` is `Hostname`); an exact match wins.
//! - `null` is the zero value of whatever was expected, at any depth.
//! - Unknown keys are ignored, and nothing may follow the document.
//!
//! Keys of maps (labels, ports) keep their case: only a struct knows the names it wants, and tells them to the
//! deserializer. That is why this is a [`serde::Deserializer`] over a parsed value and not a pass over the text.

mod value;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub use value::Lenient;

/// Reads one document.
///
/// # Errors
/// When the text is not JSON, a value has a type that its field cannot take, or text follows the document.
pub fn from_slice<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    from_value(serde_json::from_slice(json)?)
}

/// Reads one document that is already parsed.
///
/// # Errors
/// When a value has a type that its field cannot take.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, serde_json::Error> {
    T::deserialize(Lenient(value))
}

/// Reads a command line: a list of words, or one string that is one word (what `strslice` takes in Go).
pub(crate) fn words<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    use serde::Deserialize;
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(word) => Ok(Some(vec![word])),
        words => Vec::deserialize(Lenient(words)).map(Some).map_err(serde::de::Error::custom),
    }
}

/// Gives `$outer` the serde traits of a struct that embeds `$field` as Go embeds one: the keys of both lie in one object.
///
/// The struct derives them with `#[serde(remote = "Self")]` and skips the field when reading: serde's own `flatten`
/// would hide the names of the embedded keys from the deserializer, and with them the rules above.
macro_rules! embeds {
    ($outer:ty { $field:ident }) => {
        impl serde::Serialize for $outer {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
        impl<'de> serde::Deserialize<'de> for $outer {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = serde_json::Value::deserialize(deserializer)?;
                let embedded = serde::Deserialize::deserialize($crate::decode::Lenient(value.clone()));
                let outer = Self::deserialize($crate::decode::Lenient(value));
                let mut outer: Self = outer.map_err(serde::de::Error::custom)?;
                outer.$field = embedded.map_err(serde::de::Error::custom)?;
                Ok(outer)
            }
        }
    };
}
pub(crate) use embeds;

#[cfg(test)]
mod tests;
