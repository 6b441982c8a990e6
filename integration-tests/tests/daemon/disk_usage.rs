//! system df, system prune.

use dhow_integration_tests::stack::Stack;
use serde_json::Value;

fn lines(stack: &Stack) -> Vec<Value> {
    let text = stack.dhow(&["system", "df", "--format", "json"]).ok();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn what_takes_space_is_told_and_goes() {
    let stack = Stack::with_busybox();
    let script = "dd if=/dev/zero of=/big bs=1M count=3 && dd if=/dev/zero of=/vol/data bs=1M count=2";
    stack.dhow(&["run", "--name", "writer", "-v", "kept:/vol", "busybox", "sh", "-c", script]).ok();
    stack.dhow(&["tag", "busybox", "again:1"]).ok();
    let [images, containers, volumes, cache] = &lines(&stack)[..] else { panic!("four kinds") };
    assert_eq!((&images["TotalCount"], &images["Active"]), (&"1".into(), &"1".into()), "{images}");
    assert_eq!((&containers["TotalCount"], &containers["Active"]), (&"1".into(), &"0".into()));
    assert!(containers["Size"].as_str().expect("text").starts_with("3.1"), "{containers}");
    assert!(containers["Reclaimable"].as_str().expect("text").contains("100%"), "{containers}");
    assert_eq!((&volumes["Active"], &volumes["Size"]), (&"1".into(), &"2.097MB".into()), "{volumes}");
    assert_eq!(&cache["TotalCount"], "0");
    let each = stack.dhow(&["system", "df", "-v"]).ok();
    assert!(each.contains("writer") && each.contains("kept") && each.contains("again"), "{each}");

    let pruned = stack.dhow(&["system", "prune", "--force", "--all"]).ok();
    assert!(
        pruned.contains("Deleted Containers:") && pruned.contains("untagged: busybox:latest"),
        "{pruned}"
    );
    assert_eq!(stack.dhow(&["ps", "-aq"]).ok() + &stack.dhow(&["images", "-q"]).ok(), "");
    assert_eq!(stack.dhow(&["volume", "ls", "-q"]).ok(), "kept", "volumes stay unless asked for");
    assert_eq!(lines(&stack)[0]["Size"], "0B");
}
