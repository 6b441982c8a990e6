//! The stops of the demo: one function each.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use dhow_integration_tests::image;
use dhow_integration_tests::process::{Done, eventually, run};
use dhow_integration_tests::registry::Registry;
use dhow_integration_tests::stack::Stack;
use dhow_integration_tests::terminal::Terminal;

use crate::screen;

/// Types `dhow ARGUMENTS`, shows what it answers, and asserts its exit status.
fn dhow(stack: &Stack, arguments: &[&str], status: i32) -> Done {
    prompt(arguments);
    let done = stack.dhow(arguments).exits(status);
    screen::output(&done.stdout);
    screen::output(&done.stderr);
    if status != 0 {
        screen::note(&format!("exit status {status}"));
    }
    done
}

fn prompt(arguments: &[&str]) {
    let quote = |word: &&str| {
        if word.contains([' ', '$', ';', '{']) { format!("'{word}'") } else { (*word).to_owned() }
    };
    screen::prompt(&format!("dhow {}", arguments.iter().map(quote).collect::<Vec<_>>().join(" ")));
}

/// Types a command on a real terminal and shows what a person would see.
fn typed(stack: &Stack, arguments: &[&str]) -> (i32, String) {
    prompt(arguments);
    Terminal::start(&stack.command("dhow", arguments)).finish()
}

/// Images made from Debian packages, a registry on loopback, a pull with a bar for each layer.
pub(crate) fn images(stack: &Stack) {
    screen::title("Images from a registry");
    screen::note(
        "busybox and a Debian 12 root of three layers, made from Debian packages, in Debian's docker-registry",
    );
    let registry = Registry::start();
    for name in ["debian", "busybox"] {
        let reference = image::push(name, &registry.address());
        let (status, seen) = typed(stack, &["pull", &reference]);
        assert_eq!(status, 0, "{seen}");
        screen::output(&last_frame(&seen));
        dhow(stack, &["tag", &reference, name], 0);
        dhow(stack, &["rmi", &reference], 0);
    }
    dhow(stack, &["images"], 0);
}

/// What a terminal shows at the end of a progress display that moves its cursor: each line's last version.
fn last_frame(seen: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut row = 0_usize;
    let mut at_start = true;
    let mut rest = seen;
    while let Some(next) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\x1b[") {
            let end = sequence.find(|c: char| c.is_ascii_alphabetic()).map_or(sequence.len(), |end| end + 1);
            let (body, after) = sequence.split_at(end);
            let count = body.trim_end_matches(char::is_alphabetic).parse().unwrap_or(1);
            match body.chars().last() {
                Some('A') => row = row.saturating_sub(count),
                Some('B') => row += count,
                Some('K') => lines.get_mut(row).into_iter().for_each(String::clear),
                _ => {}
            }
            rest = after;
            continue;
        }
        match next {
            '\n' => (row, at_start) = (row + 1, true),
            '\r' => at_start = true,
            other => {
                lines.resize(lines.len().max(row + 1), String::new());
                if std::mem::take(&mut at_start) {
                    lines[row].clear();
                }
                lines[row].push(other);
            }
        }
        rest = &rest[next.len_utf8()..];
    }
    lines.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Foreground containers: output, pipes and exit codes.
pub(crate) fn foreground(stack: &Stack) {
    screen::title("Containers in the foreground");
    dhow(stack, &["run", "--rm", "debian", "cat", "/etc/os-release"], 0);
    screen::prompt("echo hi | dhow run -i --rm busybox cat");
    screen::output(&stack.dhow_with(&["run", "-i", "--rm", "busybox", "cat"], b"hi\n").ok());
    dhow(stack, &["run", "--rm", "busybox", "sh", "-c", "exit 7"], 7);
    dhow(stack, &["run", "--rm", "busybox", "/etc/passwd"], 126);
    dhow(stack, &["run", "--rm", "busybox", "/no/such/program"], 127);
}

/// A container in the background: ps, logs, exec, stop, rm.
pub(crate) fn background(stack: &Stack) {
    screen::title("A container in the background");
    let script = "for i in 1 2 3; do echo line $i; sleep 0.2; done; exec sleep 1000";
    dhow(stack, &["run", "-d", "--name", "box", "busybox", "sh", "-c", script], 0);
    dhow(stack, &["ps"], 0);
    let follow = ["logs", "-f", "box"];
    prompt(&follow);
    let mut logs = Terminal::start(&stack.command("dhow", &follow));
    screen::output(&logs.expect("line 3"));
    drop(logs);
    dhow(stack, &["exec", "box", "ps"], 0);
    dhow(stack, &["stop", "-t", "1", "box"], 0);
    dhow(stack, &["ps", "-a", "--format", "{{.Names}}: {{.Status}}"], 0);
    dhow(stack, &["rm", "box"], 0);
}

/// A shell on a real terminal, whose window changes size.
pub(crate) fn terminal(stack: &Stack) {
    screen::title("A terminal");
    dhow(stack, &["run", "-d", "--name", "box", "busybox", "sleep", "1000"], 0);
    let exec = ["exec", "-it", "box", "sh"];
    prompt(&exec);
    let mut shell = Terminal::start(&stack.command("dhow", &exec));
    shell.type_text("tty; stty size\r");
    screen::output(&shell.expect("24 80"));
    screen::note("(the window grows to 120x40)");
    eventually("the new size arrives", || {
        shell.resize(110, 40);
        shell.resize(120, 40);
        shell.type_text("stty size\r");
        shell.expect("stty size\r\n");
        shell.expect("\r\n").starts_with("40 120")
    });
    screen::output("/ # stty size\n40 120\n/ # exit");
    shell.type_text("exit\r");
    assert_eq!(shell.finish().0, 0);
    dhow(stack, &["rm", "-f", "box"], 0);
}

/// Memory and process limits, seen from inside.
pub(crate) fn limits(stack: &Stack) {
    screen::title("Limits, seen from inside");
    let script =
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max || cat memory.max pids.max";
    dhow(stack, &["run", "--rm", "-m", "64m", "--pids-limit", "20", "busybox", "sh", "-c", script], 0);
    screen::note("a process that eats more is killed by the kernel:");
    dhow(stack, &["run", "--rm", "-m", "16m", "busybox", "tail", "/dev/zero"], 137);
}

/// No network, the default bridge, a published port.
pub(crate) fn networks(stack: &Stack) {
    screen::title("Networks");
    dhow(stack, &["run", "--rm", "--network", "none", "busybox", "ip", "-o", "-f", "inet", "address"], 0);
    dhow(stack, &["run", "--rm", "busybox", "sh", "-c", "ip -o -f inet address; ip route"], 0);
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
    let page = "mkdir /www; echo served from a container > /www/index.html; exec httpd -f -p 80 -h /www";
    dhow(stack, &["run", "-d", "--name", "web", "-p", &format!("{port}:80"), "busybox", "sh", "-c", page], 0);
    screen::prompt(&format!("wget -qO- http://127.0.0.1:{port}/"));
    let mut answer = None;
    eventually("the page is served", || {
        answer = fetch(port);
        answer.is_some()
    });
    screen::output(&answer.unwrap_or_default());
    let mut rules = std::process::Command::new("nft");
    rules.args(["list", "table", "inet", &format!("dhow-{}", stack.host().name())]);
    let table = run(&mut rules).stdout;
    let outgoing = |line: &&str| line.contains("masquerade") && line.contains("oifname !=");
    let masquerade = table.lines().find(outgoing).unwrap_or_default();
    screen::note(&format!("masqueraded by one rule of a table of its own: {}", masquerade.trim()));
    dhow(stack, &["rm", "-f", "web"], 0);
}

fn fetch(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).filter(|body| body.contains("served"))
}
