//! v2: device rules as an eBPF program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
//!
//! The kernel calls it with `{ u32 access << 16 | kind, u32 major, u32 minor }`; a result of 0 forbids.
//! ```text
//! r2 = kind   r3 = access   r4 = major   r5 = minor
//! for each exception:   kind, access, major, minor differ? next : r0 = !default, exit
//! r0 = default, exit
//! ```

use dhow_linux::bpf::{Instruction, Register};

use super::rules::{Access, Device, Kind, Rules};

/// The program that decides as `rules` say.
pub(super) fn compile(rules: &Rules) -> Vec<Instruction> {
    use Register::{R1, R2, R3, R4, R5};
    let mut program = vec![
        Instruction::load_word(R2, R1, 0),
        Instruction::copy(R3, R2),
        Instruction::and(R2, 0xffff),
        Instruction::shift_right(R3, 16),
        Instruction::load_word(R4, R1, 4),
        Instruction::load_word(R5, R1, 8),
    ];
    for (device, access) in &rules.exceptions {
        program.extend(block(device, *access, rules.allow));
    }
    program.extend(verdict(rules.allow));
    program
}

/// One exception: its tests jump behind it when they fail.
fn block(device: &Device, access: Access, allow: bool) -> Vec<Instruction> {
    use Register::{R1, R2, R3, R4, R5};
    let kind = match device.kind {
        Kind::Block => 1,
        Kind::Character => 2,
    };
    let bits = i32::from(access.bits());
    let numbers = [(R4, device.major), (R5, device.minor)];
    let numbers: Vec<_> =
        numbers.into_iter().filter_map(|(register, number)| Some((register, number?))).collect();
    let masked = if access == Access::ALL { 0 } else { 3 };
    let mut left = 1 + masked + numbers.len() + 2;
    // A jump counts from the instruction after it.
    let mut behind = || {
        left -= 1;
        i16::try_from(left).unwrap_or(i16::MAX)
    };
    let mut block = vec![Instruction::jump_if_not(R2, kind, behind())];
    if masked > 0 {
        block.extend([Instruction::copy(R1, R3), Instruction::and(R1, bits)]);
        behind();
        behind();
        block.push(if allow {
            // Forbidden is what wants any of it.
            Instruction::jump_if(R1, 0, behind())
        } else {
            // Allowed is what wants no more than it.
            Instruction::jump_if_not_same(R1, R3, behind())
        });
    }
    for (register, number) in numbers {
        block.push(Instruction::jump_if_not(register, number.cast_signed(), behind()));
    }
    block.extend(verdict(!allow));
    block
}

fn verdict(allow: bool) -> [Instruction; 2] {
    [Instruction::set(Register::R0, i32::from(allow)), Instruction::exit()]
}
