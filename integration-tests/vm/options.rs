//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// Far above what a run takes on two slow cores, far below a CI's own limit.
const DEADLINE: Duration = Duration::from_secs(1200);

/// What to run in the machine, and for how long at most.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) job: Job,
    pub(crate) deadline: Duration,
}

/// What to run in the machine.
#[derive(Debug)]
pub(crate) enum Job {
    /// Test executables by name, and what to hand to each.
    Tests { names: Vec<String>, filters: Vec<String> },
    /// A folder with an executable `job`.
    Folder(PathBuf),
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = arguments;
        let (mut names, mut filters) = (Vec::new(), Vec::new());
        let (mut folder, mut deadline) = (None, DEADLINE);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--test" => names.push(value()?),
                "--share" => folder = Some(PathBuf::from(value()?)),
                "--deadline" => {
                    let seconds = value()?.parse().map_err(|_| "--deadline wants seconds".to_owned())?;
                    deadline = Duration::from_secs(seconds);
                }
                "--" => filters.extend(arguments.by_ref()),
                _ => return Err(format!("what is {argument}? --test --share --deadline and -- are known")),
            }
        }
        if names.is_empty() {
            names.push("runtime".to_owned());
        }
        let job = folder.map_or(Job::Tests { names, filters }, Job::Folder);
        Ok(Self { job, deadline })
    }
}
