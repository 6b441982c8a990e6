//! Where the running program is in memory.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

/// One mapping of the program's file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) offset: u64,
    /// `PROT_*` bits.
    pub(super) protection: i32,
}

/// All private mappings of `file` in this process.
pub(super) fn regions(file: &File) -> io::Result<Vec<Region>> {
    let inode = file.metadata()?.ino();
    let table = read("/proc/self/maps")?;
    // The device in the table may be another than that of stat (btrfs, overlay): the path must match as well.
    let path = std::fs::read_link("/proc/self/exe")?;
    let path = path.to_string_lossy();
    Ok(table.lines().filter_map(|line| parse(line, inode, &path)).collect())
}

/// A small file of `/proc`, whose size nobody knows beforehand.
fn read(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(16 << 10);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// `start-end perms offset dev inode   path`.
fn parse(line: &str, inode: u64, path: &str) -> Option<Region> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?.as_bytes();
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let own = fields.nth(1)?.parse::<u64>().ok()?;
    if own != inode || fields.next()?.trim_start() != path {
        return None;
    }
    let bit = |place: usize, letter: u8, bit: i32| {
        if permissions.get(place) == Some(&letter) { bit } else { 0 }
    };
    Some(Region {
        start: usize::from_str_radix(start, 16).ok()?,
        end: usize::from_str_radix(end, 16).ok()?,
        offset,
        protection: bit(0, b'r', libc::PROT_READ)
            | bit(1, b'w', libc::PROT_WRITE)
            | bit(2, b'x', libc::PROT_EXEC),
    })
}

/// The parts of the program's image that were writable at some time: only their pages can differ from the file.
pub(super) fn writable_ranges() -> io::Result<Vec<Range<usize>>> {
    let mut ranges = Vec::new();
    // SAFETY: the callback has the type that is asked for, and the data that it expects lives through the call.
    unsafe { libc::dl_iterate_phdr(Some(add_writable), std::ptr::from_mut(&mut ranges).cast()) };
    // An image has writable parts; without them nothing is known about it.
    if ranges.is_empty() { Err(io::ErrorKind::Unsupported.into()) } else { Ok(ranges) }
}

/// Adds those of one object to the `Vec<Range<usize>>` behind `ranges`; the first object is the program, and the only
/// one. Where it was loaded is what only the C library knows: not every linker leaves a PT_PHDR to compute it from.
unsafe extern "C" fn add_writable(
    object: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    ranges: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the C library passes a valid description, and our own pointer.
    let (object, ranges) = unsafe { (&*object, &mut *ranges.cast::<Vec<Range<usize>>>()) };
    // SAFETY: it also says that that many headers lie there; they are part of the image, which stays mapped.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let address = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let writable =
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W != 0);
    ranges.extend(writable.map(|header| {
        let start = address(object.dlpi_addr).wrapping_add(address(header.p_vaddr));
        start..start.saturating_add(address(header.p_memsz))
    }));
    1
}

/// start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end.
pub(super) fn addresses() -> io::Result<[u64; 11]> {
    let text = read("/proc/self/stat")?;
    // SAFETY: brk(0) fails on purpose and answers the current end.
    let brk = unsafe { libc::syscall(libc::SYS_brk, 0) };
    parse_addresses(&text, brk.cast_unsigned()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn parse_addresses(stat: &str, brk: u64) -> Option<[u64; 11]> {
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 2..)?.split_whitespace().collect();
    // Counted as in proc(5), where the state is field 3.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let (start_code, end_code, stack) = (field(26)?, field(27)?, field(28)?);
    let (start_data, end_data, start_brk) = (field(45)?, field(46)?, field(47)?);
    let (arguments, environment) = ((field(48)?, field(49)?), (field(50)?, field(51)?));
    Some([
        start_code,
        end_code,
        start_data,
        end_data,
        start_brk,
        brk,
        stack,
        arguments.0,
        arguments.1,
        environment.0,
        environment.1,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table() {
        let line = "7f00-7f10 r-xp 00001000 fe:00 42                         /usr/bin/a b";
        let expected = Region {
            start: 0x7f00,
            end: 0x7f10,
            offset: 0x1000,
            protection: libc::PROT_READ | libc::PROT_EXEC,
        };
        assert_eq!(parse(line, 42, "/usr/bin/a b"), Some(expected));
        assert_eq!(parse(line, 43, "/usr/bin/a b"), None);
        assert_eq!(parse("7f00-7f10 rw-p 00000000 00:00 0", 42, "x"), None);
    }
}
