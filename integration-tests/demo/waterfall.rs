//! The start-up waterfall of one run: which layer spent its milliseconds where.
//!
//! Every layer appends its steps to the file that `DHOW_TRACE` names; here they are put on one time line.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use dhow_integration_tests::stack::Stack;
use serde::Deserialize;

use crate::screen;

/// Columns of the bar.
const WIDTH: u64 = 48;

#[derive(Debug, Deserialize)]
struct Step {
    layer: String,
    step: String,
    start_us: u64,
    us: u64,
}

/// Runs one container with a warm stack, and draws what the trace says of it.
pub(crate) fn show(stack: &Stack, trace: &Path) {
    screen::title("Where the milliseconds of one run go");
    let arguments = ["run", "--rm", "busybox", "true"];
    stack.dhow(&arguments).ok();
    let begin = now();
    stack.dhow(&arguments).ok();
    let end = now();
    screen::prompt("dhow run --rm busybox true");
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    let mut steps: Vec<Step> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|step: &Step| step.start_us >= begin && step.start_us <= end)
        .collect();
    steps.sort_by_key(|step| (step.start_us, u64::MAX - step.us));
    let total = end - begin;
    row("client", "dhow run, from its start to its end", 0, total, total);
    for step in &steps {
        row(&step.layer, &step.step, step.start_us - begin, step.us, total);
    }
    assert!(steps.len() > 10, "every layer tells its steps: {text}");
}

fn row(layer: &str, step: &str, start: u64, length: u64, total: u64) {
    let column = |at: u64| usize::try_from(at.min(total) * WIDTH / total.max(1)).unwrap_or(0);
    let from = column(start);
    let to = column(start + length).max(from + 1);
    let bar = format!("{}{}", " ".repeat(from), "█".repeat(to - from));
    let milliseconds = |us: u64| us as f64 / 1000.0;
    let width = usize::try_from(WIDTH).unwrap_or(0) + 1;
    screen::print(&format!("{layer:<10} {step:<38.38} {bar:<width$} {:>7.2} ms\n", milliseconds(length)));
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
