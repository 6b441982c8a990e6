//! The running program's own file, made unwritable from inside a container (CVE-2019-5736).
//!
//! Until its exec, a container's first process is this program, and `/proc/PID/exe` leads whoever may look there to
//! the file on the host. [`seal`] makes that link, and every mapping of the file, go through a detached read-only
//! mount of it: the file is not copied, and opening it for writing through `/proc` answers `EROFS`.
//!
//! ```text
//! open_tree + mount_setattr(RDONLY)      a read-only view of the file that no path leads to
//! text, rodata      mapped again from there, in place: the same pages of the page cache
//! data, relro       (changed since the start) copied to anonymous memory, moved into place
//! PR_SET_MM_MAP     the file behind /proc/self/exe; the kernel refuses while the old one is mapped anywhere
//! ```
//! That needs CAP_SYS_ADMIN and CAP_CHECKPOINT_RESTORE. Without them [`seal`] answers an error, and
//! [`run_sealed_copy`] starts the program again from a sealed copy in memory.

#![expect(unsafe_code, reason = "replaces the mappings that this very code runs from")]

mod maps;

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::fs::{CWD, MemfdFlags, SealFlags, StatVfsMountFlags};

use crate::mount::{Attributes, Depth, READ_ONLY, clone_tree, set_attributes};
use maps::{Region, regions, writable_ranges};

const EXE: &str = "/proc/self/exe";

/// Seals the running program's file.
///
/// # Errors
/// When the kernel or the caller's rights do not allow it; nothing has changed then, or what has is harmless.
pub fn seal() -> io::Result<()> {
    if is_sealed()? {
        return Ok(());
    }
    let tree = clone_tree(CWD, Path::new(EXE), Depth::One)?;
    let read_only = Attributes { set: READ_ONLY, ..Attributes::default() };
    set_attributes(tree.as_fd(), read_only, Depth::One)?;
    let file = File::open(format!("/proc/self/fd/{}", tree.as_raw_fd()))?;
    let writable = writable_ranges()?;
    for region in regions(&File::open(EXE)?)? {
        if writable.iter().any(|range| range.start < region.end && region.start < range.end) {
            replace_by_copy(&region)?;
        } else {
            replace_by_file(&region, &file)?;
        }
    }
    set_executable(&file)
}

/// Whether the program already runs from an unwritable file.
fn is_sealed() -> io::Result<bool> {
    let file = File::open(EXE)?;
    if rustix::fs::fstatvfs(&file)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let seals = rustix::fs::fcntl_get_seals(&file);
    Ok(seals.is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

/// Maps the same part of the same file, through another mount, over a mapping that was never written to.
fn replace_by_file(region: &Region, file: &File) -> io::Result<()> {
    let offset = libc::off_t::try_from(region.offset).map_err(|_| io::ErrorKind::InvalidData)?;
    let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
    // SAFETY: the region is one mapping of the same file at the same offset with the same protection, and private
    // and unchanged (it belongs to a segment that is not writable): every byte stays what it is. The kernel replaces
    // it as a whole, so that the code that runs from it goes on from an identical page. No allocation happens here.
    let result = unsafe {
        libc::mmap(
            region.start as *mut libc::c_void,
            region.end - region.start,
            region.protection,
            flags,
            file.as_raw_fd(),
            offset,
        )
    };
    if result == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves an anonymous copy over a mapping that may have been written to.
fn replace_by_copy(region: &Region) -> io::Result<()> {
    let length = region.end - region.start;
    let old = region.start as *mut libc::c_void;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping where the kernel finds room touches nothing that exists.
    let new = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    if new == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the old mapping is readable (each of an executable's is) and as long as the new one; between the copy
    // and the move nothing writes to it: there is one thread, and it makes only system calls, which succeed (errno is
    // not in these mappings in any case) and allocate nothing.
    let moved = unsafe {
        std::ptr::copy_nonoverlapping(old.cast::<u8>(), new.cast::<u8>(), length);
        if libc::mprotect(new, length, region.protection) != 0 {
            libc::MAP_FAILED
        } else {
            libc::mremap(new, length, length, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, old)
        }
    };
    if moved == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `struct prctl_mm_map`.
#[repr(C)]
#[derive(Debug)]
struct MemoryMap {
    /// start_code … env_end, as `/proc/PID/stat` has them, with `brk` after `start_brk`.
    addresses: [u64; 11],
    auxv: *const u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Makes `/proc/self/exe` lead to `file`.
fn set_executable(file: &File) -> io::Result<()> {
    const PR_SET_MM: libc::c_int = 35;
    const PR_SET_MM_MAP: libc::c_ulong = 14;
    let exe_fd = u32::try_from(file.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidData)?;
    let addresses = maps::addresses()?;
    let map = MemoryMap { addresses, auxv: std::ptr::null(), auxv_size: 0, exe_fd };
    // SAFETY: the structure has the kernel's layout and lives through the call; the addresses are the current ones,
    // so that nothing but the file changes.
    let result = unsafe {
        libc::prctl(
            PR_SET_MM,
            PR_SET_MM_MAP,
            std::ptr::from_ref(&map),
            size_of::<MemoryMap>() as libc::c_ulong,
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Starts the program again from a sealed copy in memory, with the same arguments and environment; returns only with
/// the reason why not.
#[must_use]
pub fn run_sealed_copy() -> io::Error {
    match sealed_copy() {
        Ok(copy) => run(&copy),
        Err(error) => error,
    }
}

fn sealed_copy() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Since 6.3 a memory file that is to be run must say so; before that the flag is unknown.
    let memory = rustix::fs::memfd_create("dhow-runtime", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("dhow-runtime", flags))?;
    let mut copy = File::from(memory);
    io::copy(&mut File::open(EXE)?, &mut copy)?;
    copy.flush()?;
    copy.rewind()?;
    rustix::fs::fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(copy)
}

fn run(file: &File) -> io::Error {
    use std::os::unix::ffi::OsStringExt;
    let arguments: Vec<CString> =
        std::env::args_os().filter_map(|argument| CString::new(argument.into_vec()).ok()).collect();
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| CString::new([name.into_vec(), value.into_vec()].join(&b'=')).ok())
        .collect();
    match nix::unistd::fexecve(file, &arguments, &environment) {
        Ok(never) => match never {},
        Err(error) => error.into(),
    }
}

#[cfg(test)]
mod tests;
