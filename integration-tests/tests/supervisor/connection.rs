//! Clients whose HTTP/2 is not Go's.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use dhow_integration_tests::supervisor::Supervisor;

/// A frame of this type and flags on this stream.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags, 0, 0, 0, stream]);
    frame.extend(payload);
    frame
}

/// A string of a header block, as it is.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).expect("short")];
    bytes.extend(text.as_bytes());
    bytes
}

/// gRPC's C core (Python, C++, Ruby, PHP) calls a server on a socket by the socket's path, percent-encoded.
#[test]
fn a_server_may_be_called_by_the_path_of_its_socket() {
    let supervisor = Supervisor::start();
    let mut block = vec![0x83, 0x86, 0x04];
    block.extend(text("/containerd.services.version.v1.Version/Version"));
    block.push(0x41);
    block.extend(text("%2Frun%2Fdhow%2Fsupervisor.sock"));
    block.extend([0x0f, 0x10]);
    block.extend(text("application/grpc"));
    block.push(0x00);
    block.extend(text("te"));
    block.extend(text("trailers"));
    let mut stream = UnixStream::connect(supervisor.socket()).expect("connect");
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend(frame(4, 0, 0, &[]));
    request.extend(frame(1, 4, 1, &block));
    request.extend(frame(0, 1, 1, &[0; 5]));
    stream.write_all(&request).expect("send");
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame");
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).expect("its payload");
        if head[8] == 1 {
            kinds.push(head[3]);
        }
        assert_ne!(head[3], 3, "the stream was reset: {payload:?}");
        if head[8] == 1 && head[4] & 1 == 1 {
            break;
        }
    }
    // HEADERS, DATA, and HEADERS with the status.
    assert_eq!(kinds, [1, 0, 1]);
}
