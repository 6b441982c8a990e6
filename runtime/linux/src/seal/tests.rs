//! A sealed program cannot be written.

use super::*;

#[test]
fn this_program_is_not_sealed_and_knows_where_it_is() {
    assert!(!is_sealed().expect("asked"));
    let regions = regions(&File::open(EXE).expect("open")).expect("maps");
    assert!(regions.iter().any(|region| region.protection & libc::PROT_EXEC != 0), "{regions:?}");
    let here = this_program_is_not_sealed_and_knows_where_it_is as *const () as usize;
    assert!(regions.iter().any(|region| (region.start..region.end).contains(&here)));
    let writable = writable_ranges().expect("headers");
    assert!(!writable.is_empty());
    assert!(!writable.iter().any(|range| range.contains(&here)), "text is not writable");
}

#[test]
fn a_copy_in_memory_cannot_be_changed() {
    let mut copy = sealed_copy().expect("copy");
    copy.write_all(b"x").expect_err("sealed");
}
