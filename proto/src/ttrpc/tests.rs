//! Frames, whole and hostile.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::containerd::task::v3::{StateRequest, StateResponse};
use crate::error::Kind;

fn frames_of(decoder: &mut Decoder) -> Vec<(u32, FrameKind, u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(incoming) = decoder.decode().expect("valid frames") {
        let Incoming::Frame(frame) = incoming else { panic!("no frame here is too long") };
        frames.push((frame.stream, frame.kind, frame.flags, frame.payload.to_vec()));
    }
    frames
}

fn kind() -> impl Strategy<Value = FrameKind> {
    prop_oneof![Just(FrameKind::Request), Just(FrameKind::Response), Just(FrameKind::Data)]
}

proptest! {
    /// However a socket cuts the stream, the frames that come out are those that went in.
    #[test]
    fn frames_survive_any_fragmentation(
        frames in prop::collection::vec(
            (any::<u32>(), kind(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..300)), 0..12),
        cut in 1usize..64,
    ) {
        let mut bytes = Vec::new();
        for (stream, kind, flags, payload) in &frames {
            Frame { stream: *stream, kind: *kind, flags: *flags, payload }.encode(&mut bytes).expect("short");
        }
        let mut decoder = Decoder::default();
        let mut decoded = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.feed(piece);
            decoded.extend(frames_of(&mut decoder));
        }
        prop_assert_eq!(decoded, frames);
    }

    /// Hostile bytes never panic and never make the decoder hold more than was fed.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in 1usize..100) {
        let mut decoder = Decoder::default();
        'feed: for piece in bytes.chunks(cut) {
            decoder.feed(piece);
            loop {
                match decoder.decode() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'feed,
                }
            }
        }
    }
}

#[test]
fn an_oversized_frame_is_skipped_and_the_connection_goes_on() {
    let length = u32::try_from(PAYLOAD_LIMIT).expect("fits") + 1;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&7u32.to_be_bytes());
    bytes.extend_from_slice(&[1, 0]);
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    assert_eq!(decoder.decode(), Ok(Some(Incoming::TooLong { stream: 7, length })));
    let mut left = length as usize;
    while left > 0 {
        let piece = left.min(1 << 20);
        decoder.feed(&vec![0; piece]);
        assert_eq!(decoder.decode(), Ok(None));
        left -= piece;
    }
    let mut next = Vec::new();
    reply(&mut next, 9, Vec::new());
    decoder.feed(&next);
    assert!(matches!(decoder.decode(), Ok(Some(Incoming::Frame(Frame { stream: 9, .. })))));
}

#[test]
fn an_unknown_kind_ends_the_connection() {
    let mut decoder = Decoder::default();
    decoder.feed(&[0, 0, 0, 0, 0, 0, 0, 1, 9, 0]);
    assert_eq!(decoder.decode(), Err(FrameError::UnknownKind(9)));
}

#[test]
fn a_call_carries_namespace_and_deadline() {
    let mut bytes = Vec::new();
    let target = ("containerd.task.v3.Task", "State");
    let message = StateRequest { id: "a".to_owned(), exec_id: String::new() };
    call(&mut bytes, 3, target, "moby", Some(std::time::Duration::from_secs(2)), &message).expect("short");
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    let (stream, kind, _, payload) = frames_of(&mut decoder).remove(0);
    assert_eq!((stream, kind), (3, FrameKind::Request));
    let request = Request::decode(payload.as_slice()).expect("a request");
    assert_eq!((request.service.as_str(), request.method.as_str()), target);
    assert_eq!(request.timeout_nano, 2_000_000_000);
    assert_eq!(metadata(&request, "containerd-namespace-ttrpc"), Some("moby"));
    assert_eq!(StateRequest::decode(request.payload.as_slice()), Ok(message));
}

#[test]
fn failures_arrive_with_kind_and_text() {
    let mut bytes = Vec::new();
    failure(&mut bytes, 1, Kind::NotFound, "container not created");
    let error = result(&bytes[HEADER_LENGTH..]).expect_err("a failure");
    assert_eq!(error, CallError { kind: Kind::NotFound, message: "container not created".to_owned() });

    bytes.clear();
    reply(&mut bytes, 1, StateResponse { pid: 5, ..StateResponse::default() }.encode_to_vec());
    let payload = result(&bytes[HEADER_LENGTH..]).expect("a reply");
    assert_eq!(StateResponse::decode(payload.as_slice()).expect("a state").pid, 5);
}

#[test]
fn a_reply_over_the_limit_becomes_a_failure() {
    let mut bytes = Vec::new();
    reply(&mut bytes, 1, vec![0; PAYLOAD_LIMIT]);
    assert_eq!(result(&bytes[HEADER_LENGTH..]).expect_err("too long").kind, Kind::ResourceExhausted);
}
