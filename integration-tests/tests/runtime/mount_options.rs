//! Mounts: every option that the runtime-spec asks for, their order, their targets.

use dhow_integration_tests::bundle::Bundle;
use dhow_integration_tests::runtime::Runtime;
use serde_json::{Value, json};

fn add(bundle: &mut Bundle, target: &str, kind: &str, options: &[&str]) {
    add_from(bundle, target, kind, json!(kind), options);
}

fn add_from(bundle: &mut Bundle, target: &str, kind: &str, source: Value, options: &[&str]) {
    let mount = json!({"destination": target, "type": kind, "source": source, "options": options});
    bundle.spec["mounts"].as_array_mut().expect("mounts").push(mount);
}

/// The options of the mount at `target` in a mountinfo table: its own, and its propagation.
fn line<'a>(table: &'a str, target: &str) -> &'a str {
    let found = table.lines().find(|line| line.split(' ').nth(4) == Some(target));
    found.unwrap_or_else(|| panic!("nothing is mounted at {target}: {table}"))
}

#[test]
fn every_option_of_the_specification_is_taken() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("options", "cat /proc/self/mountinfo");
    // What is seen in mountinfo, where anything is.
    let words: [(&str, &str); 27] = [
        ("async", ""),
        ("atime", ""),
        ("defaults", "rw"),
        ("dev", ""),
        ("diratime", ""),
        ("dirsync", "dirsync"),
        ("exec", ""),
        ("iversion", ""),
        ("lazytime", ""),
        ("loud", ""),
        ("noatime", "noatime"),
        ("nodev", "nodev"),
        ("nodiratime", "nodiratime"),
        ("noexec", "noexec"),
        ("noiversion", ""),
        ("nolazytime", ""),
        ("norelatime", ""),
        ("nostrictatime", ""),
        ("nosuid", "nosuid"),
        ("relatime", "relatime"),
        ("ro", "ro"),
        ("rw", "rw"),
        ("silent", ""),
        ("strictatime", ""),
        ("suid", ""),
        ("sync", "sync"),
        ("mand", ""),
    ];
    for (word, _) in &words {
        add(&mut bundle, &format!("/m/{word}"), "tmpfs", &[word]);
    }
    bundle.save();
    let table = runtime.run(&runtime.id("options"), &bundle).ok();
    for (word, seen) in words {
        let line = line(&table, &format!("/m/{word}"));
        let options: Vec<&str> = line.split([' ', ',']).collect();
        assert!(seen.is_empty() || options.contains(&seen), "{word}: {line}");
    }
    assert!(!line(&table, "/m/strictatime").contains("relatime"), "{table}");
}

#[test]
fn binds_propagate_as_they_are_told() {
    let runtime = Runtime::new();
    let shared = runtime.host().folder("shared");
    let mut bundle = runtime.bundle("binds", "cat /proc/self/mountinfo");
    let kinds = [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
        ("slave", ""),
        ("rslave", ""),
    ];
    for (word, _) in kinds {
        add_from(&mut bundle, &format!("/m/{word}"), "bind", json!(shared), &["rbind", word]);
    }
    add_from(&mut bundle, "/m/remount", "bind", json!(shared), &["bind", "ro", "nosuid"]);
    bundle.save();
    let table = runtime.run(&runtime.id("binds"), &bundle).ok();
    for (word, seen) in kinds {
        let optional: Vec<&str> = line(&table, &format!("/m/{word}"))
            .split(' ')
            .skip(6)
            .take_while(|field| *field != "-")
            .collect();
        let optional = optional.join(" ");
        match seen {
            "" => assert!(
                !optional.contains("shared:") && !optional.contains("unbindable"),
                "{word}: {optional}"
            ),
            seen => assert!(optional.contains(seen), "{word}: {optional}"),
        }
    }
    let options = line(&table, "/m/remount");
    assert!(options.contains("ro,nosuid"), "{options}");
}

#[test]
fn a_mount_can_be_changed_by_a_later_entry() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("remount", "cat /proc/self/mountinfo");
    add(&mut bundle, "/m", "tmpfs", &["rw"]);
    add(&mut bundle, "/m", "tmpfs", &["remount", "ro", "nosuid"]);
    bundle.save();
    let table = runtime.run(&runtime.id("remount"), &bundle).ok();
    assert!(line(&table, "/m").contains(" ro,nosuid"), "{table}");
}

#[test]
fn entries_are_mounted_in_their_order() {
    let runtime = Runtime::new();
    let one = runtime.host().folder("one");
    let two = runtime.host().folder("two");
    std::fs::write(one.join("file"), "one").expect("write");
    std::fs::write(two.join("file"), "two").expect("write");
    let mut bundle = runtime.bundle("order", "cat /m/file /n/deep/file; ls /n");
    for source in [&one, &two] {
        add_from(&mut bundle, "/m", "bind", json!(source), &["rbind"]);
    }
    add(&mut bundle, "/n", "tmpfs", &[]);
    add_from(&mut bundle, "/n/deep", "bind", json!(one), &["rbind"]);
    bundle.save();
    assert_eq!(runtime.run(&runtime.id("order"), &bundle).ok(), "twoonedeep");
}

#[test]
fn a_relative_target_starts_at_the_root() {
    let runtime = Runtime::new();
    let mut bundle = runtime.bundle("relative", "cat /proc/self/mountinfo");
    bundle.spec["process"]["cwd"] = json!("/tmp");
    add(&mut bundle, "made/here", "tmpfs", &[]);
    bundle.save();
    let table = runtime.run(&runtime.id("relative"), &bundle).ok();
    line(&table, "/made/here");
}

#[test]
fn mapped_owners_come_in_pairs_and_are_seen_inside() {
    let runtime = Runtime::new();
    let shared = runtime.host().folder("shared");
    std::fs::write(shared.join("file"), "").expect("write");
    let mapping = json!([{"containerID": 0, "hostID": 5000, "size": 100}]);
    let with = |name: &str, maps: &[&str]| {
        let mut bundle = runtime.bundle(name, "stat -c %u:%g /m/file");
        let mut mount =
            json!({"destination": "/m", "type": "bind", "source": shared, "options": ["bind", "idmap"]});
        for map in maps {
            mount[map] = mapping.clone();
        }
        bundle.spec["mounts"].as_array_mut().expect("mounts").push(mount);
        bundle.save();
        runtime.run(&runtime.id(name), &bundle)
    };
    assert_eq!(with("both", &["uidMappings", "gidMappings"]).ok(), "5000:5000");
    for single in ["uidMappings", "gidMappings"] {
        assert_ne!(with(single, &[single]).code, 0, "{single} alone");
    }
}
