//! Proportional memory (PSS) of the daemons, fresh and after use, and of each idle container.

use std::fs;

use dhow_integration_tests::stack::processes;

use crate::measure::succeeds;
use crate::stack::Pair;

const CONTAINERS: usize = 10;

/// A stack's name, its daemons' programs, the program of its shims, and the word that its processes carry.
type Processes<'a> = (&'static str, &'a [&'a str], &'a str, String);

pub(crate) fn bench() {
    let pair = Pair::start();
    let mut stacks: Vec<Processes<'_>> = vec![(
        "dhow",
        &["dhowd", "dhow-supervisor"],
        "containerd-shim-dhow-v2",
        pair.dhow.host().name().to_owned(),
    )];
    if let Some(docker) = &pair.docker {
        let name = docker.host().name().to_owned();
        stacks.push(("docker", &["dockerd", "containerd"], "containerd-shim-runc-v2", name));
    }
    let daemons =
        |stack: &Processes<'_>| stack.1.iter().map(|program| memory(program, &stack.3).0).sum::<f64>();
    for stack in &stacks {
        println!("{:<8} daemons, fresh             {:>7.1} MB", stack.0, daemons(stack));
    }
    for _ in 0..CONTAINERS {
        for (_, mut command) in pair.commands(&["run", "-d", "--network=none", "busybox", "sleep", "100000"])
        {
            assert!(succeeds(&mut command), "start an idle container");
        }
    }
    for stack in &stacks {
        println!("{:<8} daemons, {CONTAINERS} containers     {:>7.1} MB", stack.0, daemons(stack));
        let (pss, private, count) = memory(stack.2, &stack.3);
        let count = f64::from(u32::try_from(count.max(1)).unwrap_or(1));
        let (pss, private) = (pss / count, private / count);
        println!("{:<8} shim of an idle container  {pss:>7.2} MB PSS, {private:.2} MB private", stack.0);
    }
}

/// PSS and private memory of all processes of `program` whose command line holds `word`, in MB, and their count.
pub(crate) fn memory(program: &str, word: &str) -> (f64, f64, usize) {
    let mut sum = (0.0, 0.0, 0);
    for (pid, _) in processes(program).into_iter().filter(|(_, command)| command.contains(word)) {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            let line = rollup.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
        };
        sum = (sum.0 + field("Pss:"), sum.1 + field("Private_Clean:") + field("Private_Dirty:"), sum.2 + 1);
    }
    sum
}
