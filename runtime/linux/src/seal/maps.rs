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
    // SAFETY: getauxval only reads the vector that the kernel passed at the start.
    let (table, count) = unsafe { (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM)) };
    let (Ok(table), Ok(count)) = (usize::try_from(table), usize::try_from(count)) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    if table == 0 || count == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: the kernel says that the program's own headers lie there, that many; they are part of the image, which
    // stays mapped and is never written to.
    let headers = unsafe { std::slice::from_raw_parts(table as *const libc::Elf64_Phdr, count) };
    let address = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let own = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    // Without that entry the program was linked for a fixed address.
    let base = own.map_or(0, |header| table.wrapping_sub(address(header.p_vaddr)));
    let writable =
        headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W != 0);
    Ok(writable
        .map(|header| {
            let start = base.wrapping_add(address(header.p_vaddr));
            start..start.saturating_add(address(header.p_memsz))
        })
        .collect())
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
