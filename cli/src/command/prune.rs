//! What the `prune` commands share: the question before, the lists and the sum after.

use std::io::BufRead;

use crate::error::Failure;
use crate::output::{put, units};

/// Asks until something is answered; yes is `y` or `yes`.
pub(super) fn confirm(warning: &str) -> Result<bool, Failure> {
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

/// Asks unless `force`; a no is a failure that names `what`.
pub(super) fn ask(force: bool, what: &str, warning: &str) -> Result<(), Failure> {
    if force || confirm(&format!("WARNING! {warning}\nAre you sure you want to continue?"))? {
        return Ok(());
    }
    Err(format!("{what} prune has been cancelled").into())
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
