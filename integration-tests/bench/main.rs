//! `make bench`: Dhow and its installed peers, side by side in one run.
//!
//! Every figure is the median of interleaved runs (ours, peer, ours, peer …), so that the machine's mood hits both alike.
//! The ratio is Dhow's figure over the peer's: below 1 Dhow needs less time or memory, above 1 it moves more a second.
//! Sections can be chosen: `make bench` runs all, `make bench GROUP="runtime stack"` these two.

mod account;
mod image;
mod log;
mod measure;
mod memory;
mod runtime;
mod stack;
mod supervisor;

use std::process::ExitCode;

/// The sections, in the order in which they run.
const SECTIONS: &[(&str, fn())] = &[
    ("runtime", runtime::bench),
    ("supervisor", supervisor::bench),
    ("stack", stack::bench),
    ("memory", memory::bench),
    ("log", log::bench),
    ("image", image::bench),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| !SECTIONS.iter().any(|(section, _)| section == name)) {
        let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
        eprintln!("no section {unknown}; there are: {}", names.join(", "));
        return ExitCode::from(2);
    }
    measure::machine();
    for (name, run) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("\n## {name}\n");
            run();
        }
    }
    ExitCode::SUCCESS
}
