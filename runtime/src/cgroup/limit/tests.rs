//! The values that the limits become.

use super::{LimitError, blkio, cpu, memory, pids, unified};

#[test]
fn shares_keep_their_three_fixed_points() {
    for (shares, weight) in [(0, 0), (1, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)] {
        assert_eq!(cpu::weight(shares), weight, "{shares} shares");
    }
    assert!((2..262_144).step_by(97).all(|shares| (1..=10_000).contains(&cpu::weight(shares))));
}

#[test]
fn a_quota_without_a_period_takes_the_default_one() {
    assert_eq!(cpu::max(Some(5000), None), "5000 100000");
    assert_eq!(cpu::max(None, Some(2000)), "max 2000");
    assert_eq!(cpu::max(Some(-1), Some(2000)), "max 2000");
}

#[test]
fn swap_is_what_the_sum_has_beyond_memory() {
    let some = |text: &str| Ok(Some(text.to_owned()));
    for (sum, limit, swap) in [
        (0, 0, Ok(None)),
        (0, 100, Ok(None)),
        (0, -1, some("max")),
        (-1, 100, some("max")),
        (200, 100, some("100")),
        (100, 100, some("0")),
        (200, -1, some("200")),
        (50, 100, Err(LimitError::SwapBelowMemory)),
        (50, 0, Err(LimitError::SwapAlone)),
        (50, -7, Err(LimitError::Memory(-7))),
    ] {
        assert_eq!(memory::swap_v2(sum, limit), swap, "sum {sum}, memory {limit}");
    }
}

#[test]
fn no_processes_means_one() {
    assert_eq!([pids::value(0), pids::value(-1), pids::value(7)], ["1", "max", "7"]);
}

#[test]
fn block_weights_fill_the_new_scale() {
    assert_eq!([blkio::weight_v2(10), blkio::weight_v2(1000), blkio::weight_v2(1)], [1, 10_000, 1]);
}

#[test]
fn unified_names_stay_in_the_container() {
    assert_eq!(unified::check_name("memory.high"), Ok("memory"));
    for bad in ["../memory.max", "a/b", "..", ".hidden"] {
        assert_eq!(unified::check_name(bad), Err(LimitError::UnifiedName(bad.to_owned())));
    }
    assert_eq!(unified::check_name("memory"), Err(LimitError::UnifiedForm("memory".to_owned())));
}
