//! What the `prune` commands share: their flags, the question before, the lists and the sum after.

use std::io::BufRead;

use crate::client::query::Filters;
use crate::error::Failure;
use crate::output::{put, units};

/// The flags of every `prune`.
#[derive(Debug, clap::Args)]
pub(super) struct Choice {
    /// Remove only what meets the conditions (e.g. "until=24h", "label=<key>=<value>")
    #[arg(long, value_name = "filter", value_parser = crate::option::filter)]
    pub(super) filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

impl Choice {
    pub(super) fn filters(&self) -> Result<Filters, Failure> {
        Ok(Filters::parse(&self.filter)?)
    }

    /// Warns and asks, unless forced.
    pub(super) fn ask(&self, what: &str, warning: &str) -> Result<(), Failure> {
        self.put(what, &format!("{warning}\nAre you sure you want to continue?"))
    }

    /// Puts the whole `question`, unless forced; a no is a failure that names `what`.
    pub(super) fn put(&self, what: &str, question: &str) -> Result<(), Failure> {
        if self.force || confirm(&format!("WARNING! {question}"))? {
            return Ok(());
        }
        Err(format!("{what} prune has been cancelled").into())
    }
}

/// Asks until something is answered; yes is `y` or `yes`.
fn confirm(warning: &str) -> Result<bool, Failure> {
    put(&format!("{warning} [y/N] "))?;
    let mut answer = String::new();
    // An answer that cannot be read is none.
    drop(std::io::stdin().lock().read_line(&mut answer));
    if !answer.ends_with('\n') {
        // Nobody is there to answer: Docker leaves without a word then.
        return Err(Failure::exit(0));
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// What was removed, under a heading; nothing when nothing was.
pub(super) fn listed(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("{heading}:\n{}\n\n", lines.join("\n"))
}

/// The sum of what was freed.
pub(super) fn total(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", units::human_size(bytes as f64))
}
