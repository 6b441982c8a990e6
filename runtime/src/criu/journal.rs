//! What CRIU's log says about a failure: the lines with an error, and a few before each.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::log;

/// Lines before an error that explain it.
const BEFORE: usize = 5;
/// A log at our level is far smaller.
const LONGEST: u64 = 64 << 20;

/// Logs the errors of the log `name` in `folder`, in the way of `grep -n -B5 Error`.
pub(super) fn quote(folder: &Path, name: &str) {
    let path = folder.join(name);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return log::warn(&format!("open {}: {error}", path.display())),
    };
    let lines = errors(BufReader::new(file.take(LONGEST)));
    if lines.is_empty() {
        return;
    }
    log::warn(&format!("--- Quoting {:?}", path.display().to_string()));
    lines.iter().for_each(|line| log::warn(line));
    log::warn("---");
}

fn errors(log: impl BufRead) -> Vec<String> {
    let mut quoted = Vec::new();
    let mut before = VecDeque::new();
    let mut last = 0;
    for (number, line) in (1_usize..).zip(log.split(b'\n').map_while(Result::ok)) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if !line.contains("Error") {
            if before.len() == BEFORE {
                before.pop_front();
            }
            before.push_back((number, line));
            continue;
        }
        let first = before.front().map_or(number, |(number, _)| *number);
        if last != 0 && first > last + 1 {
            quoted.push("...".to_owned());
        }
        let context = before.drain(..).chain([(number, line)]);
        quoted.extend(context.map(|(number, line)| format!("{number}:{line}")));
        last = number;
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_with_the_lines_before_them_once() {
        let mut log: Vec<String> = (1..=30).map(|number| format!("line {number}")).collect();
        log[7] = "Error one".to_owned();
        log[9] = "Error two".to_owned();
        log[29] = "Error three".to_owned();
        let quoted = errors(log.join("\n").as_bytes());
        let expected =
            ["3:line 3", "4:line 4", "5:line 5", "6:line 6", "7:line 7", "8:Error one", "9:line 9"];
        assert_eq!(quoted[..7], expected);
        assert_eq!(quoted[7..10], ["10:Error two", "...", "25:line 25"]);
        assert_eq!(quoted.len(), 15);
        assert!(errors(&b"all is well"[..]).is_empty());
    }
}
