//! Archives read back as they were written, also those of other writers; hostile ones are refused.

use std::io::{self, Read, Write};

use proptest::prelude::*;

use super::*;

fn file(path: &str, size: u64) -> Entry {
    Entry {
        path: path.into(),
        kind: Kind::File { size, segments: None },
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: Timestamp::default(),
        attributes: Vec::new(),
    }
}

fn written(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.append(entry, data.as_slice()).expect("append");
    }
    writer.finish().expect("finish")
}

fn read(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, ArchiveError> {
    let mut reader = Reader::new(archive);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).map_err(|source| ArchiveError::Read { offset: 0, source })?;
        entries.push((entry, data));
    }
    Ok(entries)
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(
        prop_oneof![Just(b'/'), any::<u8>().prop_filter("no NUL", |byte| *byte != 0)],
        1..300,
    )
    .prop_filter("a file's name", |name| !name.ends_with(b"/"))
}

fn kind() -> impl Strategy<Value = (Kind, Vec<u8>)> {
    let device = (0..4096u32, 0..65536u32).prop_map(|(major, minor)| Device { major, minor });
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..2000)
            .prop_map(|data| (Kind::File { size: data.len() as u64, segments: None }, data)),
        name().prop_map(|target| (Kind::Symlink(target), Vec::new())),
        name().prop_map(|target| (Kind::Hardlink(target), Vec::new())),
        device.clone().prop_map(|device| (Kind::Character(device), Vec::new())),
        device.prop_map(|device| (Kind::Block(device), Vec::new())),
        Just((Kind::Fifo, Vec::new())),
    ]
}

fn entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let attribute = ("[a-z]{1,8}", proptest::collection::vec(any::<u8>(), 1..40));
    let attributes = proptest::collection::btree_map(attribute.0, attribute.1, 0..3);
    (
        name(),
        kind(),
        0..0o10000u32,
        any::<u32>(),
        any::<u32>(),
        -9_000_000_000..9_000_000_000i64,
        0..1_000_000_000u32,
        attributes,
    )
        .prop_map(|(path, (kind, data), mode, uid, gid, seconds, nanoseconds, attributes)| {
            let attributes =
                attributes.into_iter().map(|(key, value)| (format!("user.{key}").into(), value)).collect();
            let modified = Timestamp { seconds, nanoseconds };
            (Entry { path, kind, mode, uid, gid, modified, attributes }, data)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_written_is_read_back(entries in proptest::collection::vec(entry(), 0..6)) {
        prop_assert_eq!(read(&written(&entries)).expect("read"), entries);
    }

    #[test]
    fn damaged_bytes_never_panic(
        entries in proptest::collection::vec(entry(), 1..3),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut archive = written(&entries);
        for (at, byte) in damage {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        drop(read(&archive));
    }
}

#[test]
fn the_tar_crate_reads_what_is_written_here() {
    let long = "d/".repeat(100) + "file";
    let archive = written(&[(file(&long, 3), b"abc".to_vec())]);
    let mut archive = tar::Archive::new(archive.as_slice());
    let mut entries = archive.entries().expect("entries");
    let mut entry = entries.next().expect("one entry").expect("sound entry");
    assert_eq!(entry.path().expect("path").to_str(), Some(long.as_str()));
    let mut data = String::new();
    entry.read_to_string(&mut data).expect("data");
    assert_eq!(data, "abc");
}

#[test]
fn gnu_long_names_are_read() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o600);
    let long = "x".repeat(150);
    builder.append_data(&mut header, &long, &b"abc"[..]).expect("append");
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "link", &long).expect("append link");
    let entries = read(&builder.into_inner().expect("archive")).expect("read");
    assert_eq!(entries[0].0.path, long.as_bytes());
    assert_eq!(entries[1].0.kind, Kind::Symlink(long.into_bytes()));
}

/// A header with `kind` and `data`, as another writer could send it.
fn raw(kind: u8, path: &str, data: &[u8], size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path).expect("short path");
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

#[test]
fn lengths_are_not_believed() {
    let bomb = raw(b'L', "@LongLink", b"", 8 << 30);
    assert!(matches!(read(&bomb), Err(ArchiveError::Limit { what: "a long name", .. })));
    let bomb = raw(b'x', "pax", b"", 1 << 40);
    assert!(matches!(read(&bomb), Err(ArchiveError::Limit { what: "an extended header", .. })));
    let cut = raw(b'0', "file", b"abc", 5000);
    assert!(matches!(read(&cut), Err(ArchiveError::Read { .. })), "the data stops early");
    let mut broken = raw(b'0', "file", b"abc", 3);
    broken[0] ^= 1;
    assert!(matches!(read(&broken), Err(ArchiveError::Header { what: "checksum", .. })));
    let odd = raw(b'V', "volume", b"", 0);
    assert!(matches!(read(&odd), Err(ArchiveError::Kind { kind: 'V', .. })));
    let pax = raw(b'x', "pax", b"99 path=x\n", 10);
    assert!(matches!(read(&pax), Err(ArchiveError::Header { what: "extended header", .. })));
}

#[test]
fn an_archive_may_end_without_its_marker() {
    let mut archive = written(&[(file("a", 0), Vec::new())]);
    archive.truncate(BLOCK);
    assert_eq!(read(&archive).expect("read").len(), 1);
}

#[test]
fn global_records_hold_until_an_entry_says_otherwise() {
    let mut archive = Vec::new();
    archive.extend(raw(b'g', "global", b"14 uid=123456\n", 14));
    archive.extend(raw(b'0', "one", b"", 0));
    archive.extend(raw(b'x', "pax", b"9 uid=77\n", 9));
    archive.extend(raw(b'0', "two", b"", 0));
    let entries = read(&archive).expect("read");
    assert_eq!((entries[0].0.uid, entries[1].0.uid), (123_456, 77));
}

/// A file with holes: "AB" at 4096 and "CD" at 12288 of 20000 bytes.
const MAP: [Segment; 2] = [Segment { offset: 4096, length: 2 }, Segment { offset: 12288, length: 2 }];

fn assert_sparse(archive: &[u8]) {
    let mut reader = Reader::new(archive);
    let entry = reader.next().expect("read").expect("an entry");
    assert_eq!(entry.path, b"sparse");
    assert_eq!(entry.kind, Kind::File { size: 20000, segments: Some(MAP.to_vec()) });
    let mut data = Vec::new();
    reader.read_to_end(&mut data).expect("data");
    assert_eq!(&data[..4], b"ABCD");
}

fn pax(records: &[(&str, &str)], name: &str, data: &[u8]) -> Vec<u8> {
    let records: Vec<u8> = records
        .iter()
        .flat_map(|(key, value)| super::pax::record(key.as_bytes(), value.as_bytes()))
        .collect();
    let mut archive = raw(b'x', "pax", &records, records.len() as u64);
    archive.extend(raw(b'0', name, data, data.len() as u64));
    archive
}

#[test]
fn pax_sparse_files_of_every_version_are_read() {
    let size = ("GNU.sparse.size", "20000");
    let pairs = [("GNU.sparse.offset", "4096"), ("GNU.sparse.numbytes", "2")];
    let more = [("GNU.sparse.offset", "12288"), ("GNU.sparse.numbytes", "2")];
    assert_sparse(&pax(&[size, pairs[0], pairs[1], more[0], more[1]], "sparse", b"ABCD"));
    let map = ("GNU.sparse.map", "4096,2,12288,2");
    assert_sparse(&pax(&[size, map, ("GNU.sparse.name", "sparse")], "GNUSparseFile.0/sparse", b"ABCD"));
    let mut data = b"2\n4096\n2\n12288\n2\n".to_vec();
    data.resize(BLOCK, 0);
    data.extend_from_slice(b"ABCD");
    let version = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "20000")];
    let name = ("GNU.sparse.name", "sparse");
    assert_sparse(&pax(&[version[0], version[1], version[2], name], "GNUSparseFile.0/sparse", &data));
}

#[test]
fn old_gnu_sparse_files_are_read() {
    let mut header = tar::Header::new_gnu();
    header.set_path("sparse").expect("short path");
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(4);
    let gnu = header.as_gnu_mut().expect("made so");
    gnu.set_real_size(20000);
    for (segment, slot) in MAP.iter().zip(&mut gnu.sparse) {
        slot.set_offset(segment.offset);
        slot.set_length(segment.length);
    }
    header.set_cksum();
    let mut archive = header.as_bytes().to_vec();
    archive.write_all(b"ABCD").expect("in memory");
    archive.resize(BLOCK * 2, 0);
    assert_sparse(&archive);
}

#[test]
fn maps_that_overlap_or_lead_out_of_the_file_are_refused() {
    for map in ["4096,2,4097,2", "19999,2", "1", "18446744073709551615,2", "x,1"] {
        let archive = pax(&[("GNU.sparse.size", "20000"), ("GNU.sparse.map", map)], "sparse", b"ABCD");
        assert!(matches!(read(&archive), Err(ArchiveError::Sparse)), "{map}");
    }
    let more = pax(&[("GNU.sparse.size", "20000"), ("GNU.sparse.map", "0,5000")], "sparse", b"ABCD");
    assert!(matches!(read(&more), Err(ArchiveError::Sparse)), "more data than the archive holds");
}

#[test]
fn unread_data_is_skipped() {
    let archive = written(&[(file("a", 1000), vec![1; 1000]), (file("b", 1), vec![2])]);
    let mut reader = Reader::new(archive.as_slice());
    reader.next().expect("read").expect("first");
    assert_eq!(reader.next().expect("read").expect("second").path, b"b");
    assert_eq!(io::copy(&mut reader, &mut io::sink()).expect("data"), 1);
}
