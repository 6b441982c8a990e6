//! The C library's allocator: how much memory that is free it keeps.
//!
//! Other libraries than glibc have no such settings; there this does nothing.

#![cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "mallopt(3) and malloc_trim(3) are foreign"))]

/// Makes all threads allocate from one arena.
///
/// With one each, what a burst of work on many threads has freed is scattered over as many arenas, and stays with the
/// process. The locks of one arena are no cost where few threads work.
pub fn share_arena() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes two numbers and has no other precondition; glibc refuses values that it does not know.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives memory that is free back to the kernel.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` takes the bytes to keep and may be called by any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_usable() {
        share_arena();
        let kept = vec![7_u8; 1 << 20];
        drop(vec![1_u8; 8 << 20]);
        give_back();
        assert!(kept.iter().all(|&byte| byte == 7));
    }
}
