//! Rules are read as the kernel reads them, and both back ends say the same.

use dhow_linux::bpf::Instruction;
use oci_spec::runtime::LinuxDeviceCgroup;
use proptest::prelude::*;

use super::rules::{Access, Device, Kind, Rules};
use super::{DeviceError, program, rules, v1};

fn spec(json: &str) -> Vec<LinuxDeviceCgroup> {
    serde_json::from_str(json).expect("device rules")
}

fn access(text: &str) -> Access {
    Access::parse(text).expect("access")
}

#[test]
fn dockers_rules_keep_wildcards_wild() {
    let list = spec(
        r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","access":"m"},
            {"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}]"#,
    );
    let rules = rules(Some(&list)).expect("rules");
    assert!(rules.permit(Kind::Character, 99, 7, access("m")));
    assert!(!rules.permit(Kind::Character, 99, 7, access("r")));
    assert!(rules.permit(Kind::Character, 1, 3, access("rw")));
    assert!(!rules.permit(Kind::Block, 8, 0, access("r")));
}

#[test]
fn without_rules_only_the_devices_of_every_container_are_allowed() {
    let rules = rules(None).expect("rules");
    assert!(rules.permit(Kind::Character, 136, 4, access("rwm")));
    assert!(!rules.permit(Kind::Block, 8, 0, access("r")));
    assert!(!rules.permit(Kind::Character, 1, 1, access("r")), "/dev/mem");
}

#[test]
fn rules_that_cannot_be_kept_are_refused() {
    let empty = rules(Some(&spec(r#"[{"allow":false,"access":""}]"#)));
    assert!(matches!(empty, Err(DeviceError::NoAccess(0))));
    let odd = rules(Some(&spec(r#"[{"allow":true,"type":"b","access":"rwa"}]"#)))
        .expect("other letters mean nothing");
    assert!(odd.permit(Kind::Block, 8, 0, access("rw")));
    let hole = rules(Some(&spec(
        r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"b","access":"rw"},
            {"allow":false,"type":"b","major":8,"minor":0,"access":"r"}]"#,
    )));
    assert!(matches!(hole, Err(DeviceError::Hole { .. })));
}

#[test]
fn a_change_writes_only_the_difference() {
    let before = v1::parse("c 1:3 rwm\nb 8:* r\n").expect("list");
    let after = v1::parse("c 1:3 rw\nc 1:5 rwm\n").expect("list");
    let writes = v1::transition(&before, &after);
    let expected = [("devices.deny", "b 8:* r"), ("devices.deny", "c 1:3 m"), ("devices.allow", "c 1:5 rwm")];
    assert_eq!(writes, expected.map(|(file, line)| (file, line.to_owned())));
    let fresh = v1::parse("a *:* rwm").expect("list");
    assert_eq!(v1::transition(&fresh, &before)[0], ("devices.deny", "a *:* rwm".to_owned()));
}

#[test]
fn lists_of_unknown_form_are_refused() {
    for bad in ["x 1:3 rwm", "c 1 rwm", "c 1:3 rwz", "c a:b r", "c"] {
        assert!(v1::parse(bad).is_err(), "{bad}");
    }
}

/// The eBPF machine, as far as our programs need it.
fn run(program: &[Instruction], context: [u32; 3]) -> u32 {
    let mut registers = [0u32; 6];
    let mut at = 0;
    loop {
        let Instruction { code, registers: both, offset, immediate } = program[at];
        let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
        let constant = immediate.cast_unsigned();
        at += 1;
        let jump = match code {
            0x61 => {
                assert_eq!(from, 1, "only the context can be read");
                registers[to] = context[usize::try_from(offset / 4).expect("within the context")];
                false
            }
            0xbc => {
                registers[to] = registers[from];
                false
            }
            0xb4 => {
                registers[to] = constant;
                false
            }
            0x54 => {
                registers[to] &= constant;
                false
            }
            0x74 => {
                registers[to] >>= constant;
                false
            }
            0x16 => registers[to] == constant,
            0x56 => registers[to] != constant,
            0x5e => registers[to] != registers[from],
            0x95 => return registers[0],
            other => panic!("unknown instruction {other:#x}"),
        };
        if jump {
            at += usize::try_from(offset).expect("forward jumps only");
        }
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let number = || prop::option::of(0u32..3);
    let kind = prop::bool::ANY.prop_map(|block| if block { Kind::Block } else { Kind::Character });
    let access = prop::sample::select(vec!["r", "w", "m", "rw", "rm", "wm", "rwm"]);
    let rule = (kind, number(), number(), access, prop::bool::ANY);
    (prop::bool::ANY, prop::collection::vec(rule, 0..8)).prop_map(|(allow, list)| {
        let mut rules = Rules::default();
        rules.reset(allow);
        for (kind, major, minor, text, allow) in list {
            // Refused rules leave no trace.
            drop(rules.apply(Device { kind, major, minor }, Access::parse(text).unwrap_or_default(), allow));
        }
        rules
    })
}

proptest! {
    #[test]
    fn the_program_decides_as_the_rules(rules in any_rules(), major in 0u32..4, minor in 0u32..4, wanted in 1u8..8) {
        let program = program::compile(&rules);
        for (kind, number) in [(Kind::Block, 1), (Kind::Character, 2)] {
            let letters: String = [(1, 'm'), (2, 'r'), (4, 'w')].iter()
                .filter(|(bit, _)| wanted & bit != 0).map(|(_, letter)| *letter).collect();
            let context = [u32::from(wanted) << 16 | number, major, minor];
            let said = run(&program, context) != 0;
            prop_assert_eq!(said, rules.permit(kind, major, minor, access(&letters)));
        }
    }

    #[test]
    fn a_transition_arrives(before in any_rules(), after in any_rules()) {
        let mut state = before.clone();
        for (file, line) in v1::transition(&before, &after) {
            let allow = file == "devices.allow";
            if line.starts_with('a') {
                state.reset(allow);
                continue;
            }
            let rule = v1::parse(&line).expect("a line of its own");
            for (device, access) in rule.exceptions {
                // The kernel takes back exactly what is named, whatever wider exceptions there are.
                let held = state.exceptions.entry(device).or_default();
                *held = if allow == state.allow { held.without(access) } else { held.union(access) };
            }
            state.exceptions.retain(|_, access| !access.is_empty());
        }
        prop_assert_eq!(state, after);
    }
}
