//! `--cap-add` and `--cap-drop`: one spelling, no contradictions.

use std::collections::BTreeSet;

/// Every capability.
const ALL: &str = "ALL";
/// Takes back what was asked before; only services know it.
const RESET: &str = "RESET";

/// What is added and what is dropped, both sorted, spelled `CAP_…`. Adding wins over dropping.
pub(crate) fn effective(add: &[String], drop: &[String]) -> (Vec<String>, Vec<String>) {
    let add = normalized(add);
    let drop = normalized(drop);
    let kept = drop.difference(&add).filter(|name| *name != RESET).cloned().collect();
    let add = add.into_iter().filter(|name| name != RESET).collect();
    (add, kept)
}

fn normalized(names: &[String]) -> BTreeSet<String> {
    let spelled = names.iter().map(|name| {
        let upper = name.trim().to_uppercase();
        match upper.as_str() {
            ALL | RESET => upper,
            name if name.starts_with("CAP_") => upper,
            name => format!("CAP_{name}"),
        }
    });
    let all: BTreeSet<String> = spelled.collect();
    if all.contains(ALL) { BTreeSet::from([ALL.to_owned()]) } else { all }
}

#[cfg(test)]
mod tests {
    use super::effective;

    #[test]
    fn spellings_and_contradictions() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            effective(&words(&["net_admin", "CAP_CHOWN"]), &words(&["all"])),
            (words(&["CAP_CHOWN", "CAP_NET_ADMIN"]), words(&["ALL"]))
        );
        assert_eq!(
            effective(&words(&["kill"]), &words(&["KILL", "mknod"])),
            (words(&["CAP_KILL"]), words(&["CAP_MKNOD"]))
        );
        assert_eq!(effective(&words(&["all", "kill"]), &[]), (words(&["ALL"]), vec![]));
    }
}
