//! Keys of the store: a path of names, in an order that keeps what belongs together side by side.
//!
//! Each name ends with a zero byte. A zero inside a name is written `01 02`, a one `01 03`, so that any text is a
//! name, no name is a prefix of another, and the order of names is kept.

const END: u8 = 0;
const ESCAPE: u8 = 1;

/// The key of the record at `path`, and the prefix of every key below it.
pub(crate) fn encode(path: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(path.iter().map(|name| name.len() + 1).sum());
    for name in path {
        for byte in name.bytes() {
            match byte {
                END => key.extend([ESCAPE, 2]),
                ESCAPE => key.extend([ESCAPE, 3]),
                other => key.push(other),
            }
        }
        key.push(END);
    }
    key
}

/// The path behind `key`; text that is not UTF-8 is shown as far as it can be.
pub(crate) fn decode(key: &[u8]) -> Vec<String> {
    let mut path = Vec::new();
    let mut name = Vec::new();
    let mut bytes = key.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            END => path.push(String::from_utf8_lossy(&std::mem::take(&mut name)).into_owned()),
            ESCAPE => name.push(bytes.next().unwrap_or(2).saturating_sub(2)),
            other => name.push(other),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_keeps_its_path(path in prop::collection::vec(any::<String>(), 0..4)) {
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            prop_assert_eq!(decode(&encode(&names)), path);
        }

        #[test]
        fn only_paths_below_share_a_prefix(one in "[\\x00-\\x02a]{0,4}", other in "[\\x00-\\x02a]{0,4}") {
            let below = encode(&[&one, "x"]).starts_with(&encode(&[&other]));
            prop_assert_eq!(below, one == other);
            prop_assert_eq!(encode(&[&one]).cmp(&encode(&[&other])), one.cmp(&other));
        }
    }
}
