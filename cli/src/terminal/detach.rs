//! The keys that leave a container without ending it.

/// A sequence of keys, `ctrl-p,ctrl-q` by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys(Vec<u8>);

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`, `a,b`, …; an empty text is the default.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(vec![0x10, 0x11]));
        }
        let keys: Result<_, _> = text.split(',').map(key).collect();
        keys.map(Self)
            .map_err(|unknown| format!("invalid detach keys ({text}): Unknown character: '{unknown}'"))
    }

    /// A filter of what is typed.
    pub(super) fn filter(&self) -> Filter {
        Filter { keys: self.0.clone(), matched: 0 }
    }
}

fn key(text: &str) -> Result<u8, String> {
    if let [byte] = text.as_bytes() {
        return Ok(*byte);
    }
    match text.strip_prefix("ctrl-").map(str::as_bytes) {
        Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
        Some(b"@") => Ok(0),
        Some(b"[") => Ok(27),
        Some(b"\\") => Ok(28),
        Some(b"]") => Ok(29),
        Some(b"^") => Ok(30),
        Some(b"_") => Ok(31),
        _ => Err(text.to_owned()),
    }
}

/// Holds back what may become the sequence.
#[derive(Debug)]
pub(super) struct Filter {
    keys: Vec<u8>,
    matched: usize,
}

impl Filter {
    /// Passes `input` on to `output`; true when the sequence was completed.
    pub(super) fn pass(&mut self, input: &[u8], output: &mut Vec<u8>) -> bool {
        for &byte in input {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
                continue;
            }
            // The held keys were meant for the container after all.
            output.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if self.keys.first() == Some(&byte) && self.keys.len() > 1 {
                self.matched = 1;
            } else {
                output.push(byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::DetachKeys;

    #[test]
    fn keys_are_read() {
        assert_eq!(DetachKeys::parse(""), DetachKeys::parse("ctrl-p,ctrl-q"));
        assert_eq!(DetachKeys::parse("ctrl-@,x"), Ok(DetachKeys(vec![0, b'x'])));
        assert_eq!(
            DetachKeys::parse("ctrl-P"),
            Err("invalid detach keys (ctrl-P): Unknown character: 'ctrl-P'".into())
        );
    }

    #[test]
    fn the_sequence_is_held_back() {
        let mut filter = DetachKeys::parse("a,b").expect("valid").filter();
        let mut out = Vec::new();
        assert!(!filter.pass(b"xa", &mut out));
        assert_eq!(out, b"x");
        assert!(!filter.pass(b"ac", &mut out));
        assert_eq!(out, b"xaac");
        assert!(filter.pass(b"yab", &mut out));
        assert_eq!(out, b"xaacy");
    }
}
