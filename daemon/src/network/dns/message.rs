//! DNS messages: a question read, an answer written. Pure; whatever a container sends is hostile.
//!
//! ```text
//! header: id u16 | flags u16 | questions u16 | answers u16 | authorities u16 | additionals u16   (network order)
//! question: name (labels: length, bytes; 0 ends) | type u16 | class u16
//! answer: name (0xc00c points at the question's) | type | class | ttl u32 | length u16 | data
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
const IN: u16 = 1;
const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const QUESTION_NAME: u16 = 0xc00c;
/// Docker's own time to live.
const TTL: u32 = 600;

/// How an answer without records ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The name exists, but has no such record.
    NoData,
    /// Nobody can be asked.
    Failure,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    /// The IPv4 addresses of a name.
    V4(String),
    /// The IPv6 addresses of a name.
    V6(String),
    /// The name of an address.
    Name(IpAddr),
    /// Anything else about a name.
    Other(String),
}

/// A question, and what an answer repeats of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// Header and question as they came.
    head: Vec<u8>,
    /// What is asked.
    pub(super) subject: Subject,
}

impl Question {
    /// Reads a standard query of one question; `None` for anything else.
    pub(super) fn parse(message: &[u8]) -> Option<Self> {
        let flags = u16_at(message, 2)?;
        if flags & (RESPONSE | OPCODE) != 0 || u16_at(message, 4)? != 1 {
            return None;
        }
        let mut name = String::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // A question has no pointers, and no name has more than 255 bytes.
            if length > 63 || name.len() + length > 254 {
                return None;
            }
            let label = message.get(at..at + length)?;
            if !name.is_empty() {
                name.push('.');
            }
            name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
            at += length;
        }
        let (kind, class) = (u16_at(message, at)?, u16_at(message, at + 2)?);
        let subject = match (kind, class) {
            (A, IN) => Subject::V4(name),
            (AAAA, IN) => Subject::V6(name),
            (PTR, IN) => reverse(&name).map_or(Subject::Other(name), Subject::Name),
            _ => Subject::Other(name),
        };
        Some(Self { head: message.get(..at + 4)?.to_vec(), subject })
    }

    /// An answer with these addresses; those of the other family are left out.
    pub(super) fn addresses(&self, addresses: &[IpAddr]) -> Vec<u8> {
        let records: Vec<Vec<u8>> = addresses
            .iter()
            .filter_map(|address| match (&self.subject, address) {
                (Subject::V4(_), IpAddr::V4(address)) => Some(record(A, &address.octets())),
                (Subject::V6(_), IpAddr::V6(address)) => Some(record(AAAA, &address.octets())),
                _ => None,
            })
            .collect();
        self.answer(&records, 0)
    }

    /// An answer with a name.
    pub(super) fn name(&self, name: &str) -> Vec<u8> {
        let mut data = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty() && label.len() <= 63) {
            data.push(u8::try_from(label.len()).unwrap_or(63));
            data.extend_from_slice(label.as_bytes());
        }
        data.push(0);
        self.answer(&[record(PTR, &data)], 0)
    }

    /// An answer without records.
    pub(super) fn nothing(&self, code: Code) -> Vec<u8> {
        const SERVFAIL: u16 = 2;
        self.answer(&[], if code == Code::Failure { SERVFAIL } else { 0 })
    }

    fn answer(&self, records: &[Vec<u8>], code: u16) -> Vec<u8> {
        let mut message = self.head.clone();
        let asked = u16_at(&message, 2).unwrap_or(0) & RECURSION_DESIRED;
        let flags = RESPONSE | asked | RECURSION_AVAILABLE | code;
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message[8..HEADER].fill(0);
        message.extend(records.iter().take(usize::from(count)).flatten());
        message
    }
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let head = [QUESTION_NAME.to_be_bytes(), kind.to_be_bytes(), IN.to_be_bytes()].concat();
    [head, TTL.to_be_bytes().to_vec(), length.to_be_bytes().to_vec(), data.to_vec()].concat()
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// The address that `2.0.17.172.in-addr.arpa` or its like of IPv6 stands for.
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut bytes: Vec<u8> = digits.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        bytes.reverse();
        return <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let nibbles: Vec<u8> = digits
        .split('.')
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|digit| *digit < 16))
        .collect::<Option<_>>()?;
    let bits = <[u8; 32]>::try_from(nibbles).ok()?;
    let address = bits.iter().rev().fold(0u128, |address, nibble| address << 4 | u128::from(*nibble));
    Some(Ipv6Addr::from(address).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).expect("a label"));
            message.extend(label.as_bytes());
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend(IN.to_be_bytes());
        message
    }

    #[test]
    fn a_question_is_answered_in_its_own_words() {
        let question = Question::parse(&query("Web.LAN", A)).expect("a question");
        assert_eq!(question.subject, Subject::V4("web.lan".into()));
        let answer = question.addresses(&["172.18.0.2", "::1"].map(|text| text.parse().expect("an address")));
        assert_eq!(&answer[..8], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(&answer[answer.len() - 6..], [0, 4, 172, 18, 0, 2]);
        assert_eq!(question.nothing(Code::Failure)[3] & 0xf, 2);
    }

    #[test]
    fn addresses_have_names() {
        let question = Question::parse(&query("2.0.18.172.in-addr.arpa", PTR)).expect("a question");
        assert_eq!(question.subject, Subject::Name("172.18.0.2".parse().expect("an address")));
        assert!(question.name("web.net").ends_with(b"\x03web\x03net\0"));
        let six = format!("{}ip6.arpa", "1.".to_owned() + &"0.".repeat(31));
        let question = Question::parse(&query(&six, PTR)).expect("a question");
        assert_eq!(question.subject, Subject::Name("::1".parse().expect("an address")));
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(message in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(question) = Question::parse(&message) {
                prop_assert!(question.addresses(&[]).len() >= HEADER);
            }
        }
    }
}
