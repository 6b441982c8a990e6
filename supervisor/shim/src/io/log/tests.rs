//! Lines as Docker's json-file has them.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::super::uri::LogOptions;
use super::line::LINE_LIMIT;
use super::*;

fn log(path: &Path, max_size: u64, max_files: u32) -> Rc<RefCell<LogFile>> {
    let options = LogOptions { path: path.to_owned(), max_size, max_files, attrs: None };
    Rc::new(RefCell::new(LogFile::open(options).expect("open")))
}

fn written(stream: Stream, pieces: &[&[u8]]) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log");
    let mut stream = LogStream::new(log(&path, 0, 1), stream);
    for (second, piece) in (1..).zip(pieces) {
        stream.write(piece, UNIX_EPOCH + Duration::from_secs(second)).expect("write");
    }
    stream.finish().expect("finish");
    std::fs::read_to_string(path).expect("UTF-8")
}

#[test]
fn lines_look_as_dockers() {
    assert_eq!(
        written(Stream::Stdout, &[b"hello <b>\"&\\\x01\t\r\n\nlast"])
            .replace(char::is_whitespace, " ")
            .split("last")
            .next()
            .expect("a first part"),
        concat!(
            r#"{"log":"hello \u003cb\u003e\"\u0026\\\u0001\u0009\r\n","stream":"stdout","time":"1970-01-01T00:00:01Z"} "#,
            r#"{"log":"\n","stream":"stdout","time":"1970-01-01T00:00:01Z"} "#,
            r#"{"log":""#
        )
    );
}

#[test]
fn a_line_in_pieces_is_one_entry_with_the_time_of_its_end() {
    assert_eq!(
        written(Stream::Stderr, &[b"one ", b"line\n"]),
        "{\"log\":\"one line\\n\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:02Z\"}\n"
    );
}

#[test]
fn text_that_is_no_utf8_is_replaced() {
    let text = written(Stream::Stdout, &[b"\xff\xc3\xa9\xe2\x80\xa8\xe2\x82\n"]);
    assert!(text.starts_with(r#"{"log":"\ufffdé\u2028\ufffd\ufffd\n""#), "{text}");
}

#[test]
fn a_long_line_is_cut_between_characters_and_keeps_its_time() {
    let mut line = vec![b'x'; LINE_LIMIT - 1];
    line.extend_from_slice("é tail\n".as_bytes());
    let text = written(Stream::Stdout, &[&line[..100], &line[100..]]);
    let entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0]["log"].as_str().expect("text").len(), LINE_LIMIT - 1);
    assert_eq!(entries[1]["log"], "é tail\n");
    assert_eq!(entries[0]["time"], entries[1]["time"]);
}

#[test]
fn rotation_keeps_the_newest_files() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log");
    let mut stream = LogStream::new(log(&path, 100, 3), Stream::Stdout);
    for number in 0..10 {
        stream.write(format!("line {number} {}\n", "x".repeat(60)).as_bytes(), UNIX_EPOCH).expect("write");
    }
    let names = ["log", "log.1", "log.2"];
    let newest: Vec<String> = names
        .iter()
        .map(|name| std::fs::read_to_string(folder.path().join(name)).expect("a log")[8..14].to_owned())
        .collect();
    assert_eq!(newest, ["line 9", "line 8", "line 7"]);
    assert!(!folder.path().join("log.3").exists());
}

#[test]
fn one_file_starts_over() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("log");
    let mut stream = LogStream::new(log(&path, 1, 1), Stream::Stdout);
    stream.write(b"old\nnew\n", UNIX_EPOCH).expect("write");
    assert_eq!(std::fs::read_to_string(&path).expect("log").lines().count(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
}

proptest! {
    /// However reads cut the output, the log gives it back whole.
    #[test]
    fn nothing_is_lost_or_added(
        lines in prop::collection::vec("[ -~é\u{2028}\t\r]{0,40}", 0..20),
        long in 0usize..40_000,
        cut in 1usize..5000,
    ) {
        let mut text = lines.join("\n");
        text.push_str(&"ü".repeat(long / 2));
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
        let mut back = String::new();
        for line in written(Stream::Stdout, &pieces).lines() {
            let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
            back.push_str(entry["log"].as_str().expect("text"));
        }
        prop_assert_eq!(back, text);
    }
}
