//! eBPF programs that guard a cgroup2's devices: loaded, attached, replaced (bpf(2), `BPF_CGROUP_DEVICE`).

#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const PROG_LOAD: c_int = 5;
const PROG_ATTACH: c_int = 8;
const PROG_DETACH: c_int = 9;
const PROG_GET_FD_BY_ID: c_int = 13;
const PROG_QUERY: c_int = 16;

const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const FLAG_ALLOW_MULTI: u32 = 2;
const FLAG_REPLACE: u32 = 4;

/// The kernel's own limit of programs on one cgroup.
const MOST_ATTACHED: usize = 64;

/// A register of the eBPF machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "numbered")]
pub enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
}

/// One eBPF instruction, as the kernel lays it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Destination in the low half, source in the high one.
    pub registers: u8,
    /// Of a jump or a load.
    pub offset: i16,
    /// The constant operand.
    pub immediate: i32,
}

impl Instruction {
    const fn new(code: u8, destination: Register, source: Register, offset: i16, immediate: i32) -> Self {
        Self { code, registers: destination as u8 | (source as u8) << 4, offset, immediate }
    }

    /// `to = *(u32 *)(base + offset)`
    #[must_use]
    pub const fn load_word(to: Register, base: Register, offset: i16) -> Self {
        Self::new(0x61, to, base, offset, 0)
    }

    /// `to = from` (32 bits)
    #[must_use]
    pub const fn copy(to: Register, from: Register) -> Self {
        Self::new(0xbc, to, from, 0, 0)
    }

    /// `to = value` (32 bits)
    #[must_use]
    pub const fn set(to: Register, value: i32) -> Self {
        Self::new(0xb4, to, Register::R0, 0, value)
    }

    /// `to &= value` (32 bits)
    #[must_use]
    pub const fn and(to: Register, value: i32) -> Self {
        Self::new(0x54, to, Register::R0, 0, value)
    }

    /// `to >>= bits` (32 bits)
    #[must_use]
    pub const fn shift_right(to: Register, bits: i32) -> Self {
        Self::new(0x74, to, Register::R0, 0, bits)
    }

    /// Skips `offset` instructions if `register == value`; the constant is widened with its sign, so keep it positive
    /// or compare 32 bits as here.
    #[must_use]
    pub const fn jump_if(register: Register, value: i32, offset: i16) -> Self {
        Self::new(0x16, register, Register::R0, offset, value)
    }

    /// Skips `offset` instructions if `register != value` (32 bits).
    #[must_use]
    pub const fn jump_if_not(register: Register, value: i32, offset: i16) -> Self {
        Self::new(0x56, register, Register::R0, offset, value)
    }

    /// Skips `offset` instructions if `register != other` (32 bits).
    #[must_use]
    pub const fn jump_if_not_same(register: Register, other: Register, offset: i16) -> Self {
        Self::new(0x5e, register, other, offset, 0)
    }

    /// Ends the program with the result in `R0`.
    #[must_use]
    pub const fn exit() -> Self {
        Self::new(0x95, Register::R0, Register::R0, 0, 0)
    }
}

/// A loaded program that decides about device accesses.
#[derive(Debug)]
pub struct CgroupDevice(OwnedFd);

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

impl CgroupDevice {
    /// Has the kernel verify and load `program`.
    ///
    /// # Errors
    /// Without CAP_BPF or CAP_SYS_ADMIN, or when the verifier refuses.
    pub fn load(program: &[Instruction]) -> io::Result<Self> {
        let mut attributes = Load {
            kind: TYPE_CGROUP_DEVICE,
            count: u32::try_from(program.len()).map_err(io::Error::other)?,
            instructions: program.as_ptr() as u64,
            license: c"Apache".as_ptr() as u64,
            ..Load::default()
        };
        let fd = call(PROG_LOAD, &mut attributes)?;
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Puts the program on the cgroup2 directory `cgroup`, in place of those that are there. At no moment is there
    /// none: a single one is exchanged, several stay until this one is in force.
    ///
    /// # Errors
    /// Without CAP_BPF or CAP_SYS_ADMIN, or when a program above forbids others.
    pub fn replace_on(&self, cgroup: impl AsFd) -> io::Result<()> {
        let cgroup = cgroup.as_fd();
        let old = attached(cgroup)?;
        if let [single] = old.as_slice()
            && self.attach(cgroup, FLAG_ALLOW_MULTI | FLAG_REPLACE, Some(single.as_fd())).is_ok()
        {
            return Ok(());
        }
        self.attach(cgroup, FLAG_ALLOW_MULTI, None)?;
        for program in old {
            let mut attributes = Attach {
                target: number(cgroup),
                program: number(program.as_fd()),
                kind: ATTACH_CGROUP_DEVICE,
                ..Attach::default()
            };
            call(PROG_DETACH, &mut attributes)?;
        }
        Ok(())
    }

    fn attach(&self, cgroup: BorrowedFd<'_>, flags: u32, replaced: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut attributes = Attach {
            target: number(cgroup),
            program: number(self.0.as_fd()),
            kind: ATTACH_CGROUP_DEVICE,
            flags,
            replaced: replaced.map_or(0, number),
        };
        call(PROG_ATTACH, &mut attributes).map(drop)
    }
}

/// The device programs on `cgroup` itself.
fn attached(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MOST_ATTACHED];
    let mut query = Query {
        target: number(cgroup),
        kind: ATTACH_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: u32::try_from(ids.len()).map_err(io::Error::other)?,
        ..Query::default()
    };
    call(PROG_QUERY, &mut query)?;
    let count = usize::try_from(query.count).map_err(io::Error::other)?;
    let mut programs = Vec::new();
    for id in ids.into_iter().take(count) {
        match call(PROG_GET_FD_BY_ID, &mut ById { id, ..ById::default() }) {
            // SAFETY: the kernel has just made this descriptor for us.
            Ok(fd) => programs.push(unsafe { OwnedFd::from_raw_fd(fd) }),
            // Gone since the query.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(programs)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Private: every `T` given here is a prefix of `union bpf_attr` whose pointers outlive the call.
fn call<T>(command: c_int, attributes: &mut T) -> io::Result<RawFd> {
    let size = size_of::<T>();
    // SAFETY: `attributes` is a live, writable prefix of `union bpf_attr` of the size given; the pointers inside it
    // refer to buffers of our callers above that live longer and are as long as the counts beside them say.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(result).map_err(io::Error::other)
    }
}
