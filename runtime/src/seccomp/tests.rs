//! Compiled programs against a plain reading of the profile.

use dhow_linux::seccomp::{ALLOW, ERRNO, Instruction, KILL_THREAD, NOTIFY};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};
use proptest::prelude::*;

use super::arch::{Machine, X32_BIT};
use super::table::{MULTIPLEXED, TABLE};
use super::{SeccompError, compile, program};

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    audit: u32,
    number: u32,
    arguments: [u64; 6],
}

/// The classic BPF machine, as far as the kernel lets seccomp use it.
fn run(program: &[Instruction], call: Call) -> u32 {
    let mut accumulator = 0u32;
    let mut at = 0;
    loop {
        let Instruction { code, yes, no, constant } = program[at];
        at += 1;
        let branch = |holds: bool| usize::from(if holds { yes } else { no });
        match code {
            0x20 => accumulator = load(call, constant),
            0x54 => accumulator &= constant,
            0x05 => at += usize::try_from(constant).expect("jump"),
            0x15 => at += branch(accumulator == constant),
            0x25 => at += branch(accumulator > constant),
            0x35 => at += branch(accumulator >= constant),
            0x06 => return constant,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn load(call: Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.audit,
        _ => {
            let bytes: Vec<u8> = call.arguments.iter().flat_map(|argument| argument.to_le_bytes()).collect();
            let at = usize::try_from(offset - 16).expect("offset");
            u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a word"))
        }
    }
}

fn profile(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).expect("profile")
}

fn native(json: &str) -> Vec<Instruction> {
    program(&profile(json), Machine::X86_64).expect("program")
}

fn call(name: &str, machine: Machine, arguments: [u64; 6]) -> Call {
    let row = super::arch::row(name).expect("known call");
    Call { audit: machine.audit(), number: machine.number(row).expect("a number"), arguments }
}

fn x86_64(name: &str, first: u64) -> Call {
    call(name, Machine::X86_64, [first, 0, 0, 0, 0, 0])
}

const DENY: u32 = ERRNO | 1;
const NEWER: u32 = ERRNO | 38;

#[test]
fn the_tables_are_sorted() {
    assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
    assert!(MULTIPLEXED.is_sorted_by(|a, b| a.0 < b.0));
    assert!(MULTIPLEXED.iter().all(|(name, ..)| super::arch::row(name).is_some()));
    assert_eq!(super::arch::row("openat"), Some(&[257, 295, 257, 56]));
}

#[test]
fn newer_calls_than_the_profile_knows_do_not_exist() {
    let program = native(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","clone3"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    assert_eq!(run(&program, x86_64("read", 0)), ALLOW);
    assert_eq!(run(&program, x86_64("write", 0)), DENY);
    assert_eq!(run(&program, x86_64("mseal", 0)), NEWER);
    let lenient = native(
        r#"{"defaultAction":"SCMP_ACT_LOG","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}"#,
    );
    assert_ne!(run(&lenient, x86_64("mseal", 0)), NEWER);
}

#[test]
fn other_machines_are_killed_and_skipped_calls_are_not() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","mseal"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let program = native(json);
    assert_eq!(run(&program, call("read", Machine::X86, [0; 6])), KILL_THREAD);
    assert_eq!(run(&program, call("read", Machine::X32, [0; 6])), KILL_THREAD);
    assert_eq!(run(&program, Call { number: u32::MAX, ..x86_64("read", 0) }), DENY);
    let three =
        json.replacen('{', r#"{"architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32","SCMP_ARCH_S390X"],"#, 1);
    let program = native(&three);
    assert_eq!(run(&program, call("read", Machine::X86, [0; 6])), ALLOW);
    assert_eq!(run(&program, call("read", Machine::X32, [0; 6])), ALLOW);
    assert_eq!(run(&program, call("write", Machine::X32, [0; 6])), DENY);
}

#[test]
fn rules_without_arguments_outweigh_those_with_some() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5,"syscalls":[
        {"names":["personality"],"action":"SCMP_ACT_TRAP","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},
        {"names":["personality"],"action":"SCMP_ACT_ALLOW"}]}"#;
    assert_eq!(run(&native(json), x86_64("personality", 8)), ALLOW);
}

#[test]
fn an_argument_tested_twice_means_either_test() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ALLOW",
        "args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"},{"index":0,"value":9,"op":"SCMP_CMP_EQ"}]}]}"#;
    let program = native(json);
    assert_eq!([8, 9, 10].map(|value| run(&program, x86_64("personality", value))), [ALLOW, ALLOW, DENY]);
}

#[test]
fn sockets_of_old_x86_programs_follow_the_same_rule() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],
        "syscalls":[{"names":["bind"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let program = native(json);
    let multiplexed = |first| call("socketcall", Machine::X86, [first, 0, 0, 0, 0, 0]);
    assert_eq!(run(&program, multiplexed(2)), ALLOW);
    assert_eq!(run(&program, multiplexed(3)), DENY);
    assert_eq!(run(&program, call("bind", Machine::X86, [0; 6])), ALLOW);
    let some = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["socket"],
        "action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":38,"op":"SCMP_CMP_EQ"}]}]}"#;
    assert_eq!(run(&native(some), multiplexed(1)), DENY, "which family it asks for cannot be seen");
}

#[test]
fn the_listener_must_not_wait_for_itself() {
    let write =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}"#;
    assert_eq!(compile(&profile(write)), Err(SeccompError::NotifyWrite));
    assert_eq!(compile(&profile(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#)), Err(SeccompError::NotifyDefault));
    let mkdir = r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":[],
        "syscalls":[{"names":["mkdir","no-such-call"],"action":"SCMP_ACT_NOTIFY"}]}"#;
    let filter = compile(&profile(mkdir)).expect("filter");
    assert_ne!(filter.flags() & dhow_linux::seccomp::FLAG_NEW_LISTENER, 0);
    assert_eq!(run(filter.program(), x86_64("mkdir", 0)), NOTIFY);
}

#[test]
fn arguments_beyond_the_sixth_are_refused() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW",
        "args":[{"index":6,"value":8,"op":"SCMP_CMP_EQ"}]}]}"#;
    assert_eq!(compile(&profile(json)), Err(SeccompError::Argument { name: "read".to_owned(), index: 6 }));
}

/// What a profile without ENOSYS help says of a call, read rule by rule.
fn evaluate(profile: &LinuxSeccomp, machine: Machine, call: Call) -> u32 {
    let named = |names: &[String]| {
        names.iter().any(|name| {
            super::arch::row(name)
                .and_then(|row| machine.number(row))
                .is_some_and(|number| number == call.number)
        })
    };
    let rules = || profile.syscalls().iter().flatten().filter(|rule| named(rule.names()));
    let holds = |argument: &LinuxSeccompArg| {
        let narrow = if machine == Machine::X86 { u64::from(u32::MAX) } else { u64::MAX };
        let actual = call.arguments[argument.index()] & narrow;
        let (value, two) = (argument.value() & narrow, argument.value_two().unwrap_or(0) & narrow);
        match argument.op() {
            LinuxSeccompOperator::ScmpCmpNe => actual != value,
            LinuxSeccompOperator::ScmpCmpLt => actual < value,
            LinuxSeccompOperator::ScmpCmpLe => actual <= value,
            LinuxSeccompOperator::ScmpCmpEq => actual == value,
            LinuxSeccompOperator::ScmpCmpGe => actual >= value,
            LinuxSeccompOperator::ScmpCmpGt => actual > value,
            LinuxSeccompOperator::ScmpCmpMaskedEq => actual & value == two & value,
        }
    };
    let default = profile.default_action().as_u32(profile.default_errno_ret());
    let returns = |rule: &oci_spec::runtime::LinuxSyscall| rule.action().as_u32(rule.errno_ret());
    let effective = || rules().filter(|rule| returns(rule) != default);
    let bare = effective().find(|rule| rule.args().as_ref().is_none_or(Vec::is_empty));
    let matching = || {
        effective().find(|rule| {
            let arguments = rule.args().as_deref().unwrap_or_default();
            let mut indexes: Vec<_> = arguments.iter().map(LinuxSeccompArg::index).collect();
            indexes.sort_unstable();
            let twice = indexes.windows(2).any(|pair| pair[0] == pair[1]);
            if twice { arguments.iter().any(holds) } else { arguments.iter().all(holds) }
        })
    };
    bare.or_else(matching).map_or(default, returns)
}

const NAMES: [&str; 12] = [
    "read",
    "write",
    "openat",
    "clone",
    "clone3",
    "personality",
    "mmap",
    "ioctl",
    "keyctl",
    "mseal",
    "time",
    "futex",
];

fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        0u64..4,
        Just(u64::from(u32::MAX)),
        Just(1 << 32),
        Just(u64::MAX),
        (0u64..4).prop_map(|low| 1 << 33 | low),
        any::<u64>(),
    ]
}

fn any_argument() -> impl Strategy<Value = LinuxSeccompArg> {
    let operator = prop::sample::select(vec![
        LinuxSeccompOperator::ScmpCmpNe,
        LinuxSeccompOperator::ScmpCmpLt,
        LinuxSeccompOperator::ScmpCmpLe,
        LinuxSeccompOperator::ScmpCmpEq,
        LinuxSeccompOperator::ScmpCmpGe,
        LinuxSeccompOperator::ScmpCmpGt,
        LinuxSeccompOperator::ScmpCmpMaskedEq,
    ]);
    (0usize..3, any_value(), any_value(), operator).prop_map(|(index, value, two, operator)| {
        let json = serde_json::json!({"index": index, "value": value, "valueTwo": two, "op": operator});
        serde_json::from_value(json).expect("argument")
    })
}

fn any_profile() -> impl Strategy<Value = LinuxSeccomp> {
    let action = || {
        prop::sample::select(vec![
            LinuxSeccompAction::ScmpActAllow,
            LinuxSeccompAction::ScmpActErrno,
            LinuxSeccompAction::ScmpActKillProcess,
            LinuxSeccompAction::ScmpActTrap,
            LinuxSeccompAction::ScmpActTrace,
            LinuxSeccompAction::ScmpActLog,
        ])
    };
    let names = prop::sample::subsequence(NAMES.to_vec(), 1..4);
    let arguments = prop::collection::vec(any_argument(), 0..4);
    let rule = (names, action(), prop::option::of(0u32..200), arguments).prop_map(|(names, action, errno, args)| {
        serde_json::json!({"names": names, "action": action, "errnoRet": errno, "args": args})
    });
    (action(), prop::collection::vec(rule, 0..12)).prop_map(|(default, rules)| {
        let json = serde_json::json!({
            "defaultAction": default, "defaultErrnoRet": 38, "syscalls": rules,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        });
        serde_json::from_value(json).expect("profile")
    })
}

proptest! {
    #[test]
    fn programs_decide_as_profiles_say(
        profile in any_profile(),
        arguments in prop::array::uniform6(any_value()),
        odd in any::<u32>(),
    ) {
        let program = program(&profile, Machine::X86_64).expect("program");
        for machine in [Machine::X86_64, Machine::X86, Machine::X32] {
            let bit = if machine == Machine::X32 { X32_BIT } else { 0 };
            let named = NAMES.iter().filter_map(|name| machine.number(super::arch::row(name)?));
            for number in named.chain([odd & (X32_BIT - 1) | bit, bit]) {
                let call = Call { audit: machine.audit(), number, arguments };
                prop_assert_eq!(run(&program, call), evaluate(&profile, machine, call), "{:?} {}", machine, number);
            }
        }
    }

    #[test]
    fn aarch64_programs_decide_as_profiles_say(profile in any_profile(), arguments in prop::array::uniform6(any_value())) {
        let program = program(&profile, Machine::Aarch64).expect("program");
        for number in NAMES.iter().filter_map(|name| Machine::Aarch64.number(super::arch::row(name)?)) {
            let call = Call { audit: Machine::Aarch64.audit(), number, arguments };
            prop_assert_eq!(run(&program, call), evaluate(&profile, Machine::Aarch64, call));
        }
    }
}
