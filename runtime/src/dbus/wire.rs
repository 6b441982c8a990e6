//! Values as bytes, little endian, each aligned to its own size from the start of the message.

use super::BusError;
use super::value::{Value, first_type};

/// Deeper values than this are not read.
const DEEPEST: usize = 64;

/// The alignment of a type that starts with this letter.
fn alignment(letter: u8) -> usize {
    match letter {
        b'y' | b'g' | b'v' => 1,
        b'n' | b'q' => 2,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 4,
    }
}

/// Writes values.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.align(N);
        self.bytes.extend(bytes);
    }

    fn length(&mut self, length: usize) {
        // Longer than 4 GiB nothing is that we send.
        self.number(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    pub(super) fn put(&mut self, value: &Value) {
        match value {
            Value::Byte(number) => self.bytes.push(*number),
            Value::Bool(yes) => self.number(u32::from(*yes).to_le_bytes()),
            Value::I16(number) => self.number(number.to_le_bytes()),
            Value::U16(number) => self.number(number.to_le_bytes()),
            Value::I32(number) => self.number(number.to_le_bytes()),
            Value::U32(number) => self.number(number.to_le_bytes()),
            Value::I64(number) => self.number(number.to_le_bytes()),
            Value::U64(number) => self.number(number.to_le_bytes()),
            Value::Double(number) => self.number(number.to_le_bytes()),
            Value::String(text) | Value::Path(text) => self.text(text),
            Value::Signature(text) => self.signature(text),
            Value::Variant(value) => {
                self.signature(&value.signature());
                self.put(value);
            }
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.put(field));
            }
            Value::Array(element, values) => self.array(element, values),
        }
    }

    /// The length counts from the first element, behind its alignment.
    fn array(&mut self, element: &str, values: &[Value]) {
        self.length(0);
        let place = self.bytes.len() - 4;
        self.align(element.bytes().next().map_or(1, alignment));
        let start = self.bytes.len();
        values.iter().for_each(|value| self.put(value));
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes.splice(place..place + 4, length.to_le_bytes());
    }
}

/// Reads values.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8], BusError> {
        let end = self.at.checked_add(count).ok_or(BusError::Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(BusError::Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<(), BusError> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], BusError> {
        self.align(N)?;
        self.take(N)?.try_into().map_err(|_| BusError::Malformed)
    }

    fn length(&mut self) -> Result<usize, BusError> {
        usize::try_from(u32::from_le_bytes(self.number()?)).map_err(|_| BusError::Malformed)
    }

    /// So many bytes of text and the nul after them.
    fn text(&mut self, length: usize) -> Result<String, BusError> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| BusError::Malformed)?;
        if self.take(1)? == [0] { Ok(text.to_owned()) } else { Err(BusError::Malformed) }
    }

    fn signature(&mut self) -> Result<String, BusError> {
        let [length] = self.number()?;
        self.text(usize::from(length))
    }

    /// All values of `signature`.
    pub(super) fn all(&mut self, signature: &str) -> Result<Vec<Value>, BusError> {
        self.sequence(signature, 0)
    }

    fn sequence(&mut self, signature: &str, depth: usize) -> Result<Vec<Value>, BusError> {
        let mut values = Vec::new();
        let mut rest = signature;
        while !rest.is_empty() {
            let (first, others) = first_type(rest).ok_or(BusError::Malformed)?;
            values.push(self.one(first, depth)?);
            rest = others;
        }
        Ok(values)
    }

    fn one(&mut self, kind: &str, depth: usize) -> Result<Value, BusError> {
        if depth > DEEPEST {
            return Err(BusError::Malformed);
        }
        let letter = kind.bytes().next().ok_or(BusError::Malformed)?;
        let inner = || kind.get(1..kind.len() - 1).ok_or(BusError::Malformed);
        Ok(match letter {
            b'y' => Value::Byte(u8::from_le_bytes(self.number()?)),
            b'b' => Value::Bool(u32::from_le_bytes(self.number()?) != 0),
            b'n' => Value::I16(i16::from_le_bytes(self.number()?)),
            b'q' => Value::U16(u16::from_le_bytes(self.number()?)),
            b'i' => Value::I32(i32::from_le_bytes(self.number()?)),
            b'u' => Value::U32(u32::from_le_bytes(self.number()?)),
            b'x' => Value::I64(i64::from_le_bytes(self.number()?)),
            b't' => Value::U64(u64::from_le_bytes(self.number()?)),
            b'd' => Value::Double(f64::from_le_bytes(self.number()?)),
            b's' | b'o' => {
                let length = self.length()?;
                let text = self.text(length)?;
                if letter == b's' { Value::String(text) } else { Value::Path(text) }
            }
            b'g' => Value::Signature(self.signature()?),
            b'v' => {
                let signature = self.signature()?;
                match first_type(&signature) {
                    Some((_, "")) => self.one(&signature, depth + 1)?.boxed(),
                    _ => return Err(BusError::Malformed),
                }
            }
            b'(' | b'{' => {
                self.align(8)?;
                Value::Struct(self.sequence(inner()?, depth + 1)?)
            }
            b'a' => self.array(kind.get(1..).ok_or(BusError::Malformed)?, depth + 1)?,
            _ => return Err(BusError::Malformed),
        })
    }

    fn array(&mut self, element: &str, depth: usize) -> Result<Value, BusError> {
        let length = self.length()?;
        self.align(element.bytes().next().map_or(1, alignment))?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(BusError::Malformed)?;
        let mut values = Vec::new();
        while self.at < end {
            values.push(self.one(element, depth)?);
        }
        Ok(Value::Array(element.to_owned(), values))
    }
}
