//! Against a folder that looks like resctrl, as this machine may have none.

use std::fs;

use serde_json::json;

use super::*;

fn resctrl() -> (tempfile::TempDir, Resctrl) {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().to_owned();
    for (path, text) in [
        ("info/last_cmd_status", "ok\n"),
        ("info/L3/cbm_mask", "fffff\n"),
        ("info/L3/min_cbm_bits", "1\n"),
        ("info/L3/num_closids", "16\n"),
        ("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\n"),
        ("schemata", "L3:0=fffff\n"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("parent")).expect("mkdir");
        fs::write(path, text).expect("write");
    }
    (folder, Resctrl { root })
}

fn asked(value: serde_json::Value) -> IntelRdt {
    serde_json::from_value(value).expect("intelRdt")
}

/// The kernel makes these files with the folder.
fn fill(class: &Path) {
    fs::create_dir_all(class.join("mon_groups")).expect("mkdir");
    for name in ["schemata", "tasks"] {
        fs::write(class.join(name), "").expect("write");
    }
}

#[test]
fn a_class_of_its_own_is_made_filled_and_removed() {
    let (_folder, resctrl) = resctrl();
    let asked = asked(json!({"l3CacheSchema": "L3:0=f", "schemata": ["L3:0=3", ""]}));
    Resctrl::check(Some(&resctrl), &asked).expect("possible");
    let class = resctrl.plan(&asked, "box");
    assert!(class.own);
    resctrl.create(&class, &asked).expect_err("an ordinary folder has no schemata");
    fill(&class.path);
    resctrl.create(&class, &asked).expect("made");
    assert_eq!(fs::read_to_string(class.path.join("schemata")).expect("read"), "L3:0=f\nL3:0=3\n");
    resctrl.adopt(&class, 42).expect("adopted");
    assert_eq!(fs::read_to_string(class.path.join("tasks")).expect("read"), "42");
    // resctrl removes these with the folder.
    fs::remove_dir_all(&class.path).expect("remove");
    fs::create_dir(&class.path).expect("mkdir");
    class.remove().expect("removed");
    assert!(!class.path.exists());
    class.remove().expect("once is enough");
}

#[test]
fn a_named_class_must_exist_when_nothing_is_set_and_stays() {
    let (_folder, resctrl) = resctrl();
    let asked = asked(json!({"closID": "gold", "enableMonitoring": true}));
    let class = resctrl.plan(&asked, "box");
    assert!(matches!(resctrl.create(&class, &asked), Err(ResctrlError::NoClass(_))));
    fill(&class.path);
    resctrl.create(&class, &asked).expect("there");
    let monitor = class.path.join("mon_groups/box");
    assert!(monitor.is_dir(), "its own counters");
    class.remove().expect("removed");
    assert!(!monitor.exists() && class.path.exists());
}

#[test]
fn a_named_class_that_exists_must_have_what_is_asked_for() {
    let (_folder, resctrl) = resctrl();
    let class = resctrl.plan(&asked(json!({"closID": "gold"})), "box");
    fill(&class.path);
    let create = |schema: &str| {
        fs::write(class.path.join("schemata"), "    MB:0=100\n    L3:0=00f;1=3f\n").expect("write");
        resctrl.create(&class, &asked(json!({"closID": "gold", "l3CacheSchema": schema})))
    };
    for same in ["L3:0=f;1=3f", "L3:1=3F", "L3:0=00f"] {
        create(same).expect(same);
    }
    for other in ["L3:0=ff", "L3:2=f", "L3:0=f;1=f"] {
        assert!(matches!(create(other), Err(ResctrlError::Differs { .. })), "{other}");
    }
}

#[test]
fn what_the_machine_lacks_is_refused_by_name() {
    let (_folder, resctrl) = resctrl();
    let text = |resctrl, value| Resctrl::check(resctrl, &asked(value)).expect_err("refused").to_string();
    assert!(text(None, json!({})).contains("Intel RDT is not enabled"));
    assert!(text(Some(&resctrl), json!({"memBwSchema": "MB:0=20"})).contains("memBwSchema"));
    assert!(text(Some(&resctrl), json!({"closID": "../x"})).contains("ClosID"));
    assert!(text(Some(&resctrl), json!({"schemata": ["L3:0=f\nL3:1=f"]})).contains("lines"));
    assert!(text(Some(&resctrl), json!({"memBwSchema": "L3:0=f"})).contains("memBwSchema"));
}

#[test]
fn the_kernels_reason_is_told() {
    let (_folder, resctrl) = resctrl();
    fs::write(resctrl.root.join("info/last_cmd_status"), "mask f0f has non-consecutive 1-bits\n")
        .expect("write");
    let asked = asked(json!({"l3CacheSchema": "L3:0=f0f"}));
    let class = resctrl.plan(&asked, "box");
    let error = resctrl.create(&class, &asked).expect_err("no schemata file");
    assert!(error.to_string().contains("non-consecutive"), "{error}");
}

#[test]
fn stats_have_the_shape_that_readers_know() {
    let (_folder, resctrl) = resctrl();
    let class = resctrl.plan(&IntelRdt::default(), "box");
    fill(&class.path);
    fs::write(class.path.join("schemata"), "    L3:0=f\n").expect("write");
    let domain = class.path.join("mon_data/mon_L3_00");
    fs::create_dir_all(&domain).expect("mkdir");
    fs::write(domain.join("llc_occupancy"), "123\n").expect("write");
    fs::write(domain.join("mbm_total_bytes"), "7\n").expect("write");
    let stats = serde_json::Value::Object(resctrl.stats(&class).expect("stats"));
    assert_eq!(
        stats,
        json!({
            "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=fffff", "l3_cache_schema": "L3:0=f", "schemata": ["L3:0=f"],
            "mbm_stats": [{"mbm_total_bytes": 7}], "cmt_stats": [{"llc_occupancy": 123}],
        })
    );
}
