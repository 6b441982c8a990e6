//! Bytes as the specification has them, and values through them and back.

use proptest::prelude::*;

use super::message::{Call, FIXED, Incoming, decode, length};
use super::text::{TextError, parse};
use super::value::{Value, first_type};
use super::wire::{Reader, Writer};
use super::{Address, BusError};

fn bytes(values: &[Value]) -> Vec<u8> {
    let mut writer = Writer::default();
    values.iter().for_each(|value| writer.put(value));
    writer.into_bytes()
}

#[test]
fn values_are_aligned_to_their_size() {
    let values = [Value::Byte(1), Value::U32(2), Value::text("ab"), Value::Bool(true)];
    assert_eq!(bytes(&values), [1, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', 0, 0, 1, 0, 0, 0]);
    // The length of an array does not count the padding before its first element.
    let array = Value::Array("t".to_owned(), vec![Value::U64(7)]);
    assert_eq!(bytes(&[array]), [8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    let empty = Value::Array("t".to_owned(), Vec::new());
    assert_eq!(bytes(&[empty]), [0; 8], "padded even without an element");
    assert_eq!(bytes(&[Value::Bool(true).boxed()]), [1, b'b', 0, 0, 1, 0, 0, 0]);
}

#[test]
fn signatures_are_taken_apart_at_whole_types() {
    assert_eq!(first_type("a(sv)u"), Some(("a(sv)", "u")));
    assert_eq!(first_type("(a{sv}(ii))s"), Some(("(a{sv}(ii))", "s")));
    for bad in ["", "a", "(s", "z", "a(", ")"] {
        assert_eq!(first_type(bad), None, "{bad}");
    }
    assert_eq!(first_type(&"a".repeat(100_000)), None);
}

#[test]
fn a_call_is_a_message_of_the_length_it_says() {
    let call = Call {
        destination: "a.b",
        path: "/a",
        interface: "a.B",
        method: "C",
        arguments: vec![Value::text("x"), Value::U32(1)],
    };
    for direct in [true, false] {
        let message = call.encode(7, direct);
        let fixed: [u8; FIXED] = message[..FIXED].try_into().expect("long enough");
        assert_eq!(length(&fixed).expect("a length"), message.len());
        assert_eq!(decode(&message).expect("a message"), Incoming::Other);
    }
}

/// A signal as systemd sends it, with the fields in its order.
#[test]
fn signals_and_errors_are_read() {
    let message = |kind: u8, fields: Vec<(u8, Value)>, body: &[Value]| {
        let mut writer = Writer::default();
        for byte in [b'l', kind, 1, 1] {
            writer.put(&Value::Byte(byte));
        }
        let body = bytes(body);
        writer.put(&Value::U32(u32::try_from(body.len()).expect("short")));
        writer.put(&Value::U32(9));
        let field = |(code, value): (u8, Value)| Value::Struct(vec![Value::Byte(code), value.boxed()]);
        writer.put(&Value::Array("(yv)".to_owned(), fields.into_iter().map(field).collect()));
        writer.align(8);
        [writer.into_bytes(), body].concat()
    };
    let body = [Value::U32(3), Value::Path("/job/3".to_owned()), Value::text("a.scope"), Value::text("done")];
    let fields = vec![
        (1, Value::Path("/m".to_owned())),
        (2, Value::text("a.M")),
        (3, Value::text("JobRemoved")),
        (8, Value::Signature("uoss".to_owned())),
    ];
    let Incoming::Signal(signal) = decode(&message(4, fields, &body)).expect("a signal") else {
        panic!("no signal")
    };
    assert_eq!((signal.interface.as_str(), signal.member.as_str()), ("a.M", "JobRemoved"));
    assert_eq!(signal.arguments, body);
    let fields = vec![(4, Value::text("a.E")), (5, Value::U32(4)), (8, Value::Signature("s".to_owned()))];
    let error = decode(&message(3, fields, &[Value::text("no")])).expect("an error");
    assert_eq!(error, Incoming::Error(4, "a.E".to_owned(), "no".to_owned()));
}

#[test]
fn hostile_messages_are_refused() {
    let mut fixed = [0; FIXED];
    fixed[0] = b'l';
    fixed[3] = 1;
    fixed[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(length(&fixed), Err(BusError::Malformed)));
    fixed[0] = b'B';
    assert!(matches!(length(&fixed), Err(BusError::Malformed)));
    let nested = [[2, b'a', b'v', 0].as_slice(), &[0xff; 64]].concat();
    assert!(Reader::new(&nested).all("v").is_err());
    let deep = [1, b'v', 0].repeat(1000);
    assert!(Reader::new(&deep).all("v").is_err());
}

#[test]
fn addresses_name_a_socket() {
    let bus = |text| Address::parse(text).ok();
    assert_eq!(bus("unix:path=/run/bus,guid=1"), Some(Address::Bus("/run/bus".into())));
    assert_eq!(bus("tcp:host=a;unix:path=/a%20b"), Some(Address::Bus("/a b".into())));
    assert_eq!(bus("unix:abstract=x"), None);
}

#[test]
fn texts_are_values() {
    let string = Value::text;
    for (text, value) in [
        ("true", Value::Bool(true)),
        ("12", Value::I32(12)),
        ("-0x10", Value::I32(-16)),
        ("017", Value::I32(15)),
        ("1.5", Value::Double(1.5)),
        ("uint64 123000000", Value::U64(123_000_000)),
        ("@t 18446744073709551615", Value::U64(u64::MAX)),
        ("byte 0xff", Value::Byte(255)),
        ("int64 -1", Value::I64(-1)),
        ("'inactive-or-failed'", string("inactive-or-failed")),
        (r#" "a\n\u00e9\"" "#, string("a\né\"")),
        ("['a', 'b']", Value::texts(["a", "b"])),
        ("@as []", Value::texts([])),
        ("@ay [1,2]", Value::bytes(&[1, 2])),
        ("[uint32 1, 2]", Value::Array("u".to_owned(), vec![Value::U32(1), Value::U32(2)])),
        ("<'x'>", string("x").boxed()),
        ("objectpath '/a'", Value::Path("/a".to_owned())),
    ] {
        assert_eq!(parse(text), Ok(value), "{text}");
    }
    assert_eq!(parse(""), Err(TextError::End));
    assert_eq!(parse("'a"), Err(TextError::End));
    assert_eq!(parse("abc"), Err(TextError::Unexpected("abc".to_owned())));
    for bad in [
        "byte 256",
        "uint32 -1",
        "[]",
        "[1, 'a']",
        "1 2",
        "uint64 'a'",
        "@as ['a', 1]",
        "-",
        "{1: 2}",
        "(1, 2)",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert!(parse(&"[".repeat(100_000)).is_err());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<u8>().prop_map(Value::Byte),
        any::<bool>().prop_map(Value::Bool),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::U64),
        "[a-z\u{e9}]{0,9}".prop_map(Value::String),
        Just(Value::Signature("a(sv)".to_owned())),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Value::boxed),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Value::Struct),
            (inner, 0..4_usize)
                .prop_map(|(value, count)| Value::Array(value.signature(), vec![value; count])),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec(any_value(), 0..5)) {
        let signature: String = values.iter().map(Value::signature).collect();
        prop_assert_eq!(Reader::new(&bytes(&values)).all(&signature).expect("readable"), values);
    }

    #[test]
    fn whatever_comes_in_is_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&bytes));
        drop(Reader::new(&bytes).all("a{sv}(ia(yv))v"));
    }

    #[test]
    fn whatever_is_written_parses_or_not(text in ".{0,40}") {
        drop(parse(&text));
    }
}
