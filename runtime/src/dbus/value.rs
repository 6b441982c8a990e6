//! Values and their types.

/// One value. Arrays name the type of their elements: an empty one has a type as well.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `n`
    I16(i16),
    /// `q`
    U16(u16),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `x`
    I64(i64),
    /// `t`
    U64(u64),
    /// `d`
    Double(f64),
    /// `s`
    String(String),
    /// `o`
    Path(String),
    /// `g`
    Signature(String),
    /// `a…`
    Array(String, Vec<Self>),
    /// `(…)`
    Struct(Vec<Self>),
    /// `v`
    Variant(Box<Self>),
}

impl Value {
    /// A variant that holds `self`.
    pub(crate) fn boxed(self) -> Self {
        Self::Variant(Box::new(self))
    }

    /// A string.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// An array of strings.
    pub(crate) fn texts<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self::Array("s".to_owned(), texts.into_iter().map(Self::text).collect())
    }

    /// An array of bytes.
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self::Array("y".to_owned(), bytes.iter().copied().map(Self::Byte).collect())
    }

    /// The type, as D-Bus writes it.
    pub(crate) fn signature(&self) -> String {
        let letter = match self {
            Self::Byte(_) => "y",
            Self::Bool(_) => "b",
            Self::I16(_) => "n",
            Self::U16(_) => "q",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::Double(_) => "d",
            Self::String(_) => "s",
            Self::Path(_) => "o",
            Self::Signature(_) => "g",
            Self::Variant(_) => "v",
            Self::Array(element, _) => return format!("a{element}"),
            Self::Struct(fields) => {
                return format!("({})", fields.iter().map(Self::signature).collect::<String>());
            }
        };
        letter.to_owned()
    }

    /// The text of a string, path or signature.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) | Self::Path(text) | Self::Signature(text) => Some(text),
            _ => None,
        }
    }
}

/// The first complete type of `signature`, and the rest.
pub(super) fn first_type(signature: &str) -> Option<(&str, &str)> {
    signature.split_at_checked(type_length(signature.as_bytes(), 0)?)
}

/// The specification allows 32 arrays and 32 structs within each other.
const DEEPEST: usize = 64;

fn type_length(signature: &[u8], depth: usize) -> Option<usize> {
    if depth > DEEPEST {
        return None;
    }
    match signature.first()? {
        b'a' => Some(1 + type_length(signature.get(1..)?, depth + 1)?),
        open @ (b'(' | b'{') => {
            let close = if *open == b'(' { b')' } else { b'}' };
            let mut at = 1;
            while *signature.get(at)? != close {
                at += type_length(signature.get(at..)?, depth + 1)?;
            }
            Some(at + 1)
        }
        letter if b"ybnqiuxtdsogv".contains(letter) => Some(1),
        _ => None,
    }
}
