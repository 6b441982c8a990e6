//! `ps`: the processes of a container, as the host's `ps` shows them.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use clap::Args;

use super::{Failure, Outcome, Refusal, Verb, open};
use crate::container::ContainerId;
use crate::hook::describe;
use crate::options::Global;

/// The verb.
#[derive(Debug, Args)]
pub(crate) struct PsArgs {
    /// select one of: table or json
    #[arg(long, short, default_value = "table")]
    format: String,
    /// the container
    #[arg(value_name = "CONTAINER-ID")]
    id: ContainerId,
    /// options for ps
    #[arg(value_name = "PS OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Verb for PsArgs {
    const NAME: &str = "ps";
    const HELP: &str = "ps displays the processes running inside a container";

    fn run(self, global: &Global) -> Outcome {
        let pids = open(global, &self.id)?.cgroup.pids(true)?;
        let mut stdout = std::io::stdout().lock();
        match self.format.as_str() {
            "json" => writeln!(stdout, "{}", serde_json::to_string(&pids)?)?,
            "table" => stdout.write_all(table(&ps(&self.options)?, &pids)?.as_bytes())?,
            _ => return Err(Refusal("invalid format option".to_owned()).into()),
        }
        Ok(0)
    }
}

fn ps(options: &[String]) -> Result<String, Failure> {
    let every = ["-ef".to_owned()];
    let options = if options.is_empty() { &every } else { options };
    let output = Command::new("ps").args(options).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let complaint = text + &String::from_utf8_lossy(&output.stderr);
    Err(Refusal(format!("{}: {complaint}", describe(output.status))).into())
}

/// The head, and the lines of `pids`.
fn table(text: &str, pids: &BTreeSet<i32>) -> Result<String, Refusal> {
    let head = text.lines().next().unwrap_or_default();
    let column = head.split_whitespace().position(|title| title == "PID");
    let column = column.ok_or_else(|| Refusal("couldn't find PID field in ps output".to_owned()))?;
    let mut shown = format!("{head}\n");
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        let pid: i32 = pid.ok_or_else(|| Refusal(format!("unable to parse pid: {line:?}")))?;
        if pids.contains(&pid) {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_are_shown() {
        let text = "UID  PID  CMD\nroot 1 init\nroot 22 sh\n";
        assert_eq!(table(text, &BTreeSet::from([22])).expect("table"), "UID  PID  CMD\nroot 22 sh\n");
        table("UID CMD\n", &BTreeSet::new()).expect_err("no pids to see");
    }
}
