//! What a profile says about each system call of each machine.

use std::collections::BTreeMap;

use dhow_linux::seccomp::{ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE, TRAP};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::SeccompError;
use super::arch::{Machine, multiplexed, row};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// A test of one argument, on 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u32,
    pub(super) comparison: Comparison,
    /// Bits that count.
    pub(super) mask: u64,
    pub(super) value: u64,
}

/// Negations are the opposite test with its ways out exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal { negated: bool },
    Greater { negated: bool },
    AtLeast { negated: bool },
}

/// All conditions hold: this is what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) action: u32,
}

/// What happens to one system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Always(u32),
    /// The first rule that holds, else the default.
    First(Vec<Rule>),
}

/// The rules for one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) machine: Machine,
    pub(super) default: u32,
    pub(super) calls: BTreeMap<u32, Decision>,
    /// What happens to calls above the last one that the profile names, if not the default.
    pub(super) newer: Option<(u32, u32)>,
}

/// The policies of `profile` for `machines`.
pub(super) fn read(profile: &LinuxSeccomp, machines: &[Machine]) -> Result<Vec<Policy>, SeccompError> {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    let mut policies: Vec<Policy> = machines
        .iter()
        .map(|machine| Policy { machine: *machine, default, calls: BTreeMap::new(), newer: None })
        .collect();
    let mut last = vec![0; machines.len()];
    for rule in rules {
        let action = action(rule.action(), rule.errno_ret());
        for name in rule.names() {
            let conditions = conditions(rule, name)?;
            let numbers = row(name);
            for (policy, last) in policies.iter_mut().zip(&mut last) {
                let number = numbers.and_then(|numbers| policy.machine.number(numbers));
                *last = number.unwrap_or(0).max(*last);
                if action != default {
                    policy.add(name, number, &conditions, action);
                }
            }
        }
    }
    if stubs(profile) {
        for (policy, last) in policies.iter_mut().zip(last) {
            policy.newer = (last > 0).then_some((last, ERRNO | ENOSYS));
        }
    }
    Ok(policies)
}

/// Whether calls that the profile cannot have known fail with ENOSYS. A default that lets them pass, or says ENOSYS
/// itself, needs no help.
fn stubs(profile: &LinuxSeccomp) -> bool {
    let lenient = matches!(
        profile.default_action(),
        LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog | LinuxSeccompAction::ScmpActTrace
    );
    !lenient && profile.default_errno_ret() != Some(ENOSYS)
}

impl Policy {
    fn add(&mut self, name: &str, number: Option<u32>, rules: &[Vec<Condition>], action: u32) {
        if let Some(number) = number {
            self.decide(number, rules, action);
        }
        if self.machine != Machine::X86 {
            return;
        }
        // The arguments lie behind a pointer there, where no filter can look: what forbids some forbids all, what allows
        // some allows none.
        let applies = rules.iter().all(Vec::is_empty) || !matches!(action, ALLOW | LOG);
        if let Some((number, first)) = multiplexed(name).filter(|_| applies) {
            let comparison = Comparison::Equal { negated: false };
            let select = Condition { argument: 0, comparison, mask: u64::MAX, value: first };
            self.decide(number, &[vec![select]], action);
        }
    }

    fn decide(&mut self, number: u32, rules: &[Vec<Condition>], action: u32) {
        let decision = self.calls.entry(number).or_insert_with(|| Decision::First(Vec::new()));
        let Decision::First(known) = decision else { return };
        if rules.iter().any(Vec::is_empty) {
            *decision = Decision::Always(action);
            return;
        }
        let narrow = self.machine.is_narrow();
        known.extend(rules.iter().map(|conditions| {
            let conditions = conditions.iter().map(|condition| condition.on(narrow)).collect();
            Rule { conditions, action }
        }));
    }
}

impl Condition {
    fn on(self, narrow: bool) -> Self {
        if !narrow {
            return self;
        }
        let low = u64::from(u32::MAX);
        Self { mask: self.mask & low, value: self.value & low, ..self }
    }
}

/// The alternatives under which `rule` applies, each a list of conditions that must all hold. A rule that tests one
/// argument twice means either test, as it always has.
fn conditions(rule: &LinuxSyscall, name: &str) -> Result<Vec<Vec<Condition>>, SeccompError> {
    if name.is_empty() {
        return Err(SeccompError::NoName);
    }
    let arguments = rule.args().as_deref().unwrap_or_default();
    let mut seen = [false; 6];
    let mut twice = false;
    let mut conditions = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let index = argument.index();
        let slot = seen.get_mut(index);
        let slot = slot.ok_or_else(|| SeccompError::Argument { name: name.to_owned(), index })?;
        twice |= std::mem::replace(slot, true);
        conditions.push(condition(argument));
    }
    Ok(if twice {
        conditions.into_iter().map(|condition| vec![condition]).collect()
    } else {
        vec![conditions]
    })
}

fn condition(argument: &LinuxSeccompArg) -> Condition {
    use LinuxSeccompOperator::{
        ScmpCmpEq, ScmpCmpGe, ScmpCmpGt, ScmpCmpLe, ScmpCmpLt, ScmpCmpMaskedEq, ScmpCmpNe,
    };
    let (comparison, mask, value) = match argument.op() {
        ScmpCmpMaskedEq => {
            // Bits beyond the mask never counted, so profiles may have some.
            let mask = argument.value();
            (Comparison::Equal { negated: false }, mask, argument.value_two().unwrap_or(0) & mask)
        }
        ScmpCmpEq => (Comparison::Equal { negated: false }, u64::MAX, argument.value()),
        ScmpCmpNe => (Comparison::Equal { negated: true }, u64::MAX, argument.value()),
        ScmpCmpGt => (Comparison::Greater { negated: false }, u64::MAX, argument.value()),
        ScmpCmpLe => (Comparison::Greater { negated: true }, u64::MAX, argument.value()),
        ScmpCmpGe => (Comparison::AtLeast { negated: false }, u64::MAX, argument.value()),
        ScmpCmpLt => (Comparison::AtLeast { negated: true }, u64::MAX, argument.value()),
    };
    let argument = u32::try_from(argument.index()).unwrap_or(u32::MAX);
    Condition { argument, comparison, mask, value }
}

/// The value that a filter returns for `action`.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(EPERM) & 0xffff;
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => TRAP,
        LinuxSeccompAction::ScmpActErrno => ERRNO | data,
        LinuxSeccompAction::ScmpActNotify => NOTIFY,
        LinuxSeccompAction::ScmpActTrace => TRACE | data,
        LinuxSeccompAction::ScmpActLog => LOG,
        LinuxSeccompAction::ScmpActAllow => ALLOW,
    }
}
