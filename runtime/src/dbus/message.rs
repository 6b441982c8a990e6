//! A message: sixteen fixed bytes, header fields, a body.
//!
//! ```text
//! 'l' kind flags version=1 | body length u32 | serial u32 | fields a(yv), padded to 8 | body
//! ```

use super::BusError;
use super::value::Value;
use super::wire::{Reader, Writer};

/// systemd's longest answers are far below this.
const LONGEST: usize = 16 << 20;

/// The bytes from which a message's length can be told.
pub(super) const FIXED: usize = 16;

const CALL: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// A method call.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    /// The bus name that it goes to; not looked at on a direct connection.
    pub(crate) destination: &'a str,
    /// The object.
    pub(crate) path: &'a str,
    /// The interface of the method.
    pub(crate) interface: &'a str,
    /// The method.
    pub(crate) method: &'a str,
    /// Its arguments.
    pub(crate) arguments: Vec<Value>,
}

impl Call<'_> {
    pub(super) fn encode(&self, serial: u32, direct: bool) -> Vec<u8> {
        let mut body = Writer::default();
        self.arguments.iter().for_each(|argument| body.put(argument));
        let body = body.into_bytes();
        let signature: String = self.arguments.iter().map(Value::signature).collect();
        let field = |code: u8, value: Value| Value::Struct(vec![Value::Byte(code), value.boxed()]);
        let mut fields = vec![
            field(1, Value::Path(self.path.to_owned())),
            field(2, Value::text(self.interface)),
            field(3, Value::text(self.method)),
        ];
        if !direct {
            fields.push(field(6, Value::text(self.destination)));
        }
        if !signature.is_empty() {
            fields.push(field(8, Value::Signature(signature)));
        }
        let mut message = Writer::default();
        for byte in [b'l', CALL, 0, 1] {
            message.put(&Value::Byte(byte));
        }
        message.put(&Value::U32(u32::try_from(body.len()).unwrap_or(u32::MAX)));
        message.put(&Value::U32(serial));
        message.put(&Value::Array("(yv)".to_owned(), fields));
        message.align(8);
        let mut bytes = message.into_bytes();
        bytes.extend(body);
        bytes
    }
}

/// What came in.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// The answer to the call with this serial.
    Reply(u32, Vec<Value>),
    /// The error that answers the call with this serial: name and text.
    Error(u32, String, String),
    /// A signal.
    Signal(Signal),
    /// Something that is not for us.
    Other,
}

/// A signal.
#[derive(Debug, PartialEq)]
pub(super) struct Signal {
    pub(super) interface: String,
    pub(super) member: String,
    pub(super) arguments: Vec<Value>,
}

/// The length of the message that starts with `fixed`.
pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize, BusError> {
    let word = |at: usize| {
        let bytes = fixed.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
    };
    if fixed[0] != b'l' || fixed[3] != 1 {
        return Err(BusError::Malformed);
    }
    let fields = word(12).checked_next_multiple_of(8);
    let length = fields.and_then(|fields| fields.checked_add(word(4))?.checked_add(FIXED));
    length.filter(|length| *length <= LONGEST).ok_or(BusError::Malformed)
}

/// Reads a whole message.
pub(super) fn decode(bytes: &[u8]) -> Result<Incoming, BusError> {
    let mut reader = Reader::new(bytes);
    let head = reader.all("yyyyuua(yv)")?;
    let [_, Value::Byte(kind), _, _, Value::U32(body), _, Value::Array(_, fields)] = head.as_slice() else {
        return Err(BusError::Malformed);
    };
    let field = |code: u8| {
        fields.iter().find_map(|field| match field {
            Value::Struct(parts) => match parts.as_slice() {
                [Value::Byte(found), Value::Variant(value)] if *found == code => Some(&**value),
                _ => None,
            },
            _ => None,
        })
    };
    let text = |code: u8| field(code).and_then(Value::as_text).unwrap_or_default().to_owned();
    let answered = match field(5) {
        Some(Value::U32(serial)) => *serial,
        _ => 0,
    };
    let start = usize::try_from(*body).ok().and_then(|body| bytes.len().checked_sub(body));
    let body = start.and_then(|start| bytes.get(start..)).ok_or(BusError::Malformed)?;
    let arguments = || Reader::new(body).all(&text(8));
    Ok(match *kind {
        REPLY => Incoming::Reply(answered, arguments()?),
        ERROR => {
            let arguments = arguments()?;
            let said = arguments.first().and_then(Value::as_text).unwrap_or_default();
            Incoming::Error(answered, text(4), said.to_owned())
        }
        SIGNAL => Incoming::Signal(Signal { interface: text(2), member: text(3), arguments: arguments()? }),
        _ => Incoming::Other,
    })
}
