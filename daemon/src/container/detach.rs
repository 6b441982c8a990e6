//! Detach keys: the bytes that a client types to leave a container without ending it.

use dhow_proto::error::Kind;

use crate::error::Failure;

/// What is typed when nobody said otherwise: `ctrl-p`, `ctrl-q`.
const DEFAULT: [u8; 2] = [16, 17];

/// A list of keys that cannot be typed.
#[derive(Debug, thiserror::Error)]
#[error("Invalid detach keys ({0}) provided")]
pub(crate) struct DetachKeysError(String);

impl Failure for DetachKeysError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// Reads `ctrl-p,ctrl-q` or `a,ctrl-@`; empty means the default.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, DetachKeysError> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',').map(key).collect::<Option<_>>().ok_or_else(|| DetachKeysError(text.to_owned()))
}

fn key(text: &str) -> Option<u8> {
    if let [byte] = text.as_bytes() {
        return Some(*byte);
    }
    let [letter] = text.strip_prefix("ctrl-")?.as_bytes() else { return None };
    match letter {
        b'a'..=b'z' => Some(letter - b'a' + 1),
        b'@' => Some(0),
        b'[' | b'\\' | b']' | b'^' | b'_' => Some(letter - b'@'),
        _ => None,
    }
}

/// Looks for the keys in what a client types, across the borders of its writes.
#[derive(Debug)]
pub(crate) struct Scanner {
    keys: Vec<u8>,
    /// How many of the keys were typed last.
    typed: usize,
}

impl Scanner {
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, typed: 0 }
    }

    /// Looks for nothing.
    pub(crate) fn off() -> Self {
        Self::new(Vec::new())
    }

    /// What may be passed on of `input`, and whether the keys are complete. Keys that may yet become complete are held
    /// back; they are passed on as soon as they cannot.
    pub(crate) fn scan(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut pass = Vec::with_capacity(input.len() + self.typed);
        for byte in input {
            if self.keys.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    return (pass, true);
                }
                continue;
            }
            pass.extend_from_slice(&self.keys[..self.typed]);
            self.typed = usize::from(self.keys.first() == Some(byte));
            if self.typed == 0 {
                pass.push(*byte);
            }
        }
        (pass, false)
    }

    /// What was held back when the input ends.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.keys[..self.typed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_docker_writes_them() {
        assert_eq!(parse("").expect("default"), [16, 17]);
        assert_eq!(parse("ctrl-a,x,ctrl-@,ctrl-_").expect("keys"), [1, b'x', 0, 31]);
        assert!(parse("ctrl-A").is_err() && parse("ab").is_err() && parse("a,").is_err());
    }

    #[test]
    fn keys_are_found_across_writes_and_otherwise_passed_on() {
        let mut scanner = Scanner::new(vec![16, 17]);
        assert_eq!(scanner.scan(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(scanner.rest(), [16]);
        assert_eq!(scanner.scan(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(scanner.scan(b"\x10\x10\x11z"), (vec![16], true));
    }

    #[test]
    fn without_keys_everything_passes() {
        assert_eq!(Scanner::off().scan(b"a\x10\x11b"), (b"a\x10\x11b".to_vec(), false));
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_without_the_keys(writes in proptest::collection::vec(proptest::collection::vec(0u8..20, 0..5), 0..20)) {
            let whole: Vec<u8> = writes.concat();
            proptest::prop_assume!(!whole.windows(2).any(|pair| pair == [16, 17]));
            let mut scanner = Scanner::new(vec![16, 17]);
            let mut passed: Vec<u8> = writes.iter().flat_map(|write| scanner.scan(write).0).collect();
            passed.extend_from_slice(scanner.rest());
            proptest::prop_assert_eq!(passed, whole);
        }
    }
}
