//! `make demo`: the main job, on a private stack, shown as a person would type it.
//!
//! Every command is printed before it runs, and its exit status is checked. At the end the stack is removed and the
//! machine is searched for what it may have left: mounts, processes, cgroups, interfaces, firewall tables.

mod screen;
mod tour;
mod waterfall;

use dhow_integration_tests::stack::Stack;

fn main() {
    let trace = std::env::temp_dir().join(format!("dhow-demo-{}.trace", std::process::id()));
    screen::title("A private stack: its own sockets, state, data, cgroup and bridge");
    let stack = Stack::start_traced(&trace);
    screen::note(&format!("daemon {} on {}", stack.daemon_pid(), stack.address()));
    tour::images(&stack);
    tour::foreground(&stack);
    tour::background(&stack);
    tour::terminal(&stack);
    tour::limits(&stack);
    tour::networks(&stack);
    waterfall::show(&stack, &trace);
    screen::title("Nothing left behind");
    drop(stack);
    drop(std::fs::remove_file(trace));
    screen::note("no mount, no process, no cgroup, no interface, no firewall table");
}
