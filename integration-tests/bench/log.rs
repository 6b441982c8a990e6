//! What a container writes to stdout: into the log, out of it again, and to whoever is attached.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::measure::{Contender, compare, succeeds};
use crate::stack::Pair;

const MEGABYTES: usize = 100;

pub(crate) fn bench() {
    let pair = Pair::start();
    let script = format!(
        "yes 'a line of a hundred characters, as a service might print it, more or less, in its log file.' | head -c {}",
        MEGABYTES << 20
    );
    let write = ["run", "--name", "talk", "--network=none", "-d", "busybox", "sh", "-c", &script];
    let rates = |commands: Vec<(&'static str, Command)>, run: fn(&mut Command) -> bool| {
        commands
            .into_iter()
            .map(|(name, mut command)| {
                Contender::measured(name, move || {
                    let start = Instant::now();
                    run(&mut command).then(|| MEGABYTES as f64 / start.elapsed().as_secs_f64())
                })
            })
            .collect()
    };
    // Started detached and waited for: the log alone is in the way.
    let mut contenders = Vec::new();
    for (((name, mut start), (_, mut wait)), (_, mut remove)) in pair
        .commands(&write)
        .into_iter()
        .zip(pair.commands(&["wait", "talk"]))
        .zip(pair.commands(&["rm", "talk"]))
    {
        contenders.push(Contender::measured(name, move || {
            let _first_time = succeeds(&mut remove);
            let begin = Instant::now();
            (succeeds(&mut start) && succeeds(&mut wait))
                .then(|| MEGABYTES as f64 / begin.elapsed().as_secs_f64())
        }));
    }
    compare("written to the log", "MB/s", 3, contenders);
    compare("logs reads it", "MB/s", 3, rates(pair.commands(&["logs", "talk"]), read_all));
    let attached = ["run", "--rm", "--network=none", "--log-driver=none", "busybox", "sh", "-c", &script];
    compare("attached, no log", "MB/s", 3, rates(pair.commands(&attached), read_all));
}

fn read_all(command: &mut Command) -> bool {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    child.is_ok_and(|mut child| {
        let copied = child.stdout.take().map(|mut stream| std::io::copy(&mut stream, &mut std::io::sink()));
        child.wait().is_ok_and(|status| status.success())
            && copied.is_some_and(|copied| copied.is_ok_and(|bytes| bytes >= (MEGABYTES as u64) << 20))
    })
}
