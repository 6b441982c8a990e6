//! The command line as a whole: names, aliases, help.

use super::catalog::{CATALOG, GROUPS};
use super::parse;

#[test]
fn every_command_is_well_formed() {
    for entry in CATALOG {
        let mut command = parse::command(entry);
        command.build();
        command.debug_assert();
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = CATALOG.iter().flat_map(|entry| entry.names).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn run_and_create_have_dockers_flags() {
    for (name, expected) in [("run", 104), ("create", 101)] {
        let entry = CATALOG.iter().find(|entry| entry.names.contains(&name)).expect(name);
        let command = parse::command(entry);
        let flags =
            command.get_arguments().filter(|arg| arg.get_long().is_some() && !arg.is_hide_set()).count();
        assert_eq!(flags, expected, "{name}");
    }
}

#[test]
fn every_group_is_known() {
    let names = CATALOG.iter().flat_map(|entry| entry.names).filter_map(|name| name.split_once(' '));
    for (group, verb) in names {
        assert!(GROUPS.iter().any(|(known, _)| *known == group), "{group} {verb}");
    }
}
