//! From policies to instructions.
//!
//! ```text
//! load arch          one comparison per kind of machine, else kill
//!   load number      binary search over the ranges of numbers that share a decision
//!     load argument  the rules of the few calls that have conditions
//! ```
//! Classic BPF jumps forward only, and conditionally at most 255 instructions. So the program is written from its end:
//! every target is known when it is jumped to, a return that lies near is shared, and one that does not is written
//! again, which costs one instruction like any bridge would.

use std::collections::HashMap;

use dhow_linux::seccomp::{Instruction, KILL_THREAD};

use super::arch::{Machine, X32_BIT};
use super::policy::{Comparison, Condition, Decision, Policy, Rule};

/// Where `struct seccomp_data` has its parts; the low half of an argument comes first on these machines.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// The number that a tracer writes to skip a call: no x32 call, although it has the bit.
const SKIPPED: u32 = u32::MAX;

/// A place in the program, counted from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label(usize);

/// Whither a test leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Place(Label),
    Return(u32),
}

/// A test of the accumulator with a constant: how far to skip when it holds, and when not.
type Make = fn(u32, u8, u8) -> Instruction;

/// The program, last instruction first.
#[derive(Default)]
struct Assembler {
    reversed: Vec<Instruction>,
    returns: HashMap<u32, Label>,
}

impl Assembler {
    fn push(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len())
    }

    /// How many instructions lie between the next one written, `ahead` instructions further up, and `label`.
    fn distance(&self, label: Label, ahead: usize) -> usize {
        self.reversed.len() + ahead - label.0
    }

    /// A label for `target` that a test written after `ahead` more instructions still reaches.
    fn reach(&mut self, target: Target, ahead: usize) -> Label {
        match target {
            Target::Return(value) => match self.returns.get(&value) {
                Some(label) if self.distance(*label, ahead) <= usize::from(u8::MAX) => *label,
                _ => {
                    let label = self.push(Instruction::end(value));
                    self.returns.insert(value, label);
                    label
                }
            },
            Target::Place(label) if self.distance(label, ahead) <= usize::from(u8::MAX) => label,
            Target::Place(label) => {
                let count = u32::try_from(self.distance(label, 0)).unwrap_or(u32::MAX);
                self.push(Instruction::skip(count))
            }
        }
    }

    /// Writes a test in front of everything; gives its place.
    fn test(&mut self, make: Make, constant: u32, yes: Target, no: Target) -> Label {
        // Making the second one reachable may push the first one a step away.
        let yes = self.reach(yes, 1);
        let no = self.reach(no, 0);
        let skip = |label: Label| u8::try_from(self.reversed.len() - label.0).unwrap_or(u8::MAX);
        let instruction = make(constant, skip(yes), skip(no));
        self.push(instruction)
    }

    fn load(&mut self, offset: u32) -> Label {
        self.push(Instruction::load(offset))
    }

    fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}

/// The whole program for `policies`.
pub(super) fn program(policies: &[Policy]) -> Vec<Instruction> {
    let mut assembler = Assembler::default();
    let find = |machine| policies.iter().find(|policy| policy.machine == machine);
    let mut next = Target::Return(KILL_THREAD);
    if let Some(policy) = find(Machine::Aarch64) {
        let tree = number_tree(&mut assembler, policy);
        next = Target::Place(assembler.test(Instruction::if_equal, policy.machine.audit(), tree, next));
    }
    if let Some(policy) = find(Machine::X86) {
        let tree = number_tree(&mut assembler, policy);
        next = Target::Place(assembler.test(Instruction::if_equal, policy.machine.audit(), tree, next));
    }
    // Both kinds of 64-bit calls come with one value of `arch`: the number tells them apart.
    if let Some(policy) = find(Machine::X86_64) {
        let tree = x86_64_tree(&mut assembler, policy, find(Machine::X32));
        assembler.test(Instruction::if_equal, policy.machine.audit(), tree, next);
    }
    assembler.load(ARCH);
    assembler.finish()
}

fn number_tree(assembler: &mut Assembler, policy: &Policy) -> Target {
    let ranges = ranges(assembler, policy);
    let tree = search(assembler, &ranges);
    start(assembler, tree)
}

fn x86_64_tree(assembler: &mut Assembler, policy: &Policy, x32: Option<&Policy>) -> Target {
    let high = match x32 {
        Some(x32) => {
            let ranges = ranges(assembler, x32);
            search(assembler, &ranges)
        }
        None => {
            let (skipped, kill) = (Target::Return(policy.default), Target::Return(KILL_THREAD));
            Target::Place(assembler.test(Instruction::if_equal, SKIPPED, skipped, kill))
        }
    };
    let ranges = ranges(assembler, policy);
    let low = search(assembler, &ranges);
    let split = assembler.test(Instruction::if_at_least, X32_BIT, high, low);
    start(assembler, Target::Place(split))
}

/// The number is loaded before the first comparison with it.
fn start(assembler: &mut Assembler, tree: Target) -> Target {
    // The load falls through to what is written last.
    match tree {
        Target::Place(label) if label.0 == assembler.reversed.len() => {}
        tree => {
            let label = assembler.reach(tree, 0);
            let count = u32::try_from(assembler.distance(label, 0)).unwrap_or(u32::MAX);
            if count > 0 {
                assembler.push(Instruction::skip(count));
            }
        }
    }
    Target::Place(assembler.load(NUMBER))
}

/// The numbers from the first one on, up to the next range's.
type Range = (u32, Target);

/// Neighbours that end alike become one range; rules with conditions are written here.
fn ranges(assembler: &mut Assembler, policy: &Policy) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    let default = Target::Return(policy.default);
    let mut add = |from: u32, target: Target| {
        if ranges.last().is_none_or(|(_, last)| *last != target) {
            ranges.push((from, target));
        }
    };
    let mut free = if policy.machine == Machine::X32 { X32_BIT } else { 0 };
    for (number, decision) in &policy.calls {
        if *number > free {
            add(free, default);
        }
        add(*number, decide(assembler, decision, policy.default));
        free = number + 1;
    }
    match policy.newer {
        Some((last, action)) => {
            if last + 1 > free {
                add(free, default);
            }
            add(last + 1, Target::Return(action));
        }
        None => add(free, default),
    }
    ranges
}

/// A balanced search: the upper half is written first, the lower one follows its test at once.
fn search(assembler: &mut Assembler, ranges: &[Range]) -> Target {
    match ranges {
        [] => Target::Return(KILL_THREAD),
        [(_, target)] => *target,
        ranges => {
            let (low, high) = ranges.split_at(ranges.len() / 2);
            let from = high.first().map_or(0, |(from, _)| *from);
            let high = search(assembler, high);
            let low = search(assembler, low);
            Target::Place(assembler.test(Instruction::if_at_least, from, high, low))
        }
    }
}

fn decide(assembler: &mut Assembler, decision: &Decision, default: u32) -> Target {
    match decision {
        Decision::Always(action) => Target::Return(*action),
        Decision::First(rules) => {
            rules.iter().rev().fold(Target::Return(default), |next, rule| rule_chain(assembler, rule, next))
        }
    }
}

/// Every condition leads to the next one, or out to `otherwise`.
fn rule_chain(assembler: &mut Assembler, rule: &Rule, otherwise: Target) -> Target {
    let action = Target::Return(rule.action);
    rule.conditions.iter().rev().fold(action, |then, condition| test(assembler, condition, then, otherwise))
}

/// A 64-bit comparison in two halves: the high one decides unless it is equal.
fn test(assembler: &mut Assembler, condition: &Condition, then: Target, otherwise: Target) -> Target {
    let (negated, compare): (bool, Option<Make>) = match condition.comparison {
        Comparison::Equal { negated } => (negated, None),
        Comparison::Greater { negated } => (negated, Some(Instruction::if_greater)),
        Comparison::AtLeast { negated } => (negated, Some(Instruction::if_at_least)),
    };
    let (yes, no) = if negated { (otherwise, then) } else { (then, otherwise) };
    let low = half(assembler, condition, Half::Low, compare.unwrap_or(Instruction::if_equal), yes, no);
    if high_half(condition.mask) == 0 && high_half(condition.value) == 0 {
        return low;
    }
    match compare {
        None => half(assembler, condition, Half::High, Instruction::if_equal, low, no),
        Some(_) => {
            let value = high_half(condition.value);
            let same = Target::Place(assembler.test(Instruction::if_equal, value, low, no));
            half(assembler, condition, Half::High, Instruction::if_greater, yes, same)
        }
    }
}

#[derive(Clone, Copy)]
enum Half {
    Low,
    High,
}

fn half(
    assembler: &mut Assembler,
    condition: &Condition,
    half: Half,
    make: Make,
    yes: Target,
    no: Target,
) -> Target {
    let (offset, mask, value) = match half {
        Half::Low => (0, low_half(condition.mask), low_half(condition.value)),
        Half::High => (4, high_half(condition.mask), high_half(condition.value)),
    };
    assembler.test(make, value, yes, no);
    if mask != u32::MAX {
        assembler.push(Instruction::and(mask));
    }
    Target::Place(assembler.load(ARGUMENTS + 8 * condition.argument + offset))
}

#[expect(clippy::cast_possible_truncation, reason = "the half that is asked for")]
fn low_half(value: u64) -> u32 {
    value as u32
}

fn high_half(value: u64) -> u32 {
    (value >> 32) as u32
}
