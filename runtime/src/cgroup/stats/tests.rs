//! The kernel's texts, and the JSON they become.

use super::{Stats, blkio, cpu, cpuset, hugetlb, pairs, pressure};

#[test]
fn lists_become_numbers() {
    assert_eq!(cpuset::list("0-2,7"), [0, 1, 2, 7]);
    assert_eq!(cpuset::list(""), [0u16; 0]);
    assert_eq!(cpuset::list("x,3"), [3]);
}

#[test]
fn huge_page_sizes_are_spelled_as_the_files_are() {
    let sizes = ["hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB"].map(hugetlb::size);
    assert_eq!(sizes, ["64KB", "2MB", "1GB"].map(|size| Some(size.to_owned())));
    assert_eq!(hugetlb::size("hugepages-xkB"), None);
}

#[test]
fn block_lines_of_both_versions_fill_the_same_tables() {
    let v1 = blkio::line("8:0 Read 4096").expect("a device");
    let v2 = blkio::parse_v2("8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0\nbad line\n");
    let json = serde_json::to_value(&v2).expect("json");
    assert_eq!(serde_json::to_value(v1).expect("json"), json["ioServiceBytesRecursive"][0]);
    assert_eq!(json["ioServicedRecursive"][1], serde_json::json!({"major": 8, "op": "Write", "value": 3}));
    assert_eq!(blkio::line("Total 3477504"), None);
}

#[test]
fn time_by_mode_leaves_the_head_out() {
    assert_eq!(cpu::by_mode("cpu user system\n0 5 6\n1 7 8\n"), (vec![5, 7], vec![6, 8]));
}

#[test]
fn pressure_is_read_by_name() {
    let text =
        "some avg10=1.50 avg60=0.00 avg300=0.25 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    let json = serde_json::to_string(&pressure::parse(text)).expect("json");
    assert_eq!(json, r#"{"some":{"avg10":1.5,"avg60":0.0,"avg300":0.25,"total":9}}"#);
}

#[test]
fn unused_is_as_short_as_runcs() {
    let json = serde_json::to_value(Stats::default()).expect("json");
    assert_eq!(json["cpu"], serde_json::json!({}));
    assert_eq!(json["memory"], serde_json::json!({}));
    assert_eq!(json["pids"], serde_json::json!({}));
    assert_eq!(json["hugetlb"], serde_json::json!({}));
    assert_eq!(json["cpuset"]["cpu_exclusive"], 0);
}

#[test]
fn keys_without_numbers_are_skipped() {
    assert_eq!(pairs("a 1\nb max\nc x\nd\n").collect::<Vec<_>>(), [("a", 1), ("b", u64::MAX)]);
}
