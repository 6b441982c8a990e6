//! How the demo looks: titles, prompts, output; colour only on a terminal.

use std::io::{IsTerminal, Write};

/// A heading.
pub(crate) fn title(text: &str) {
    print(&format!("\n{}\n", paint("1;36", text)));
}

/// A remark of the demo itself.
pub(crate) fn note(text: &str) {
    print(&format!("{}\n", paint("2", text)));
}

/// A command, as it is typed.
pub(crate) fn prompt(command: &str) {
    print(&format!("{} {}\n", paint("32", "$"), paint("1", command)));
}

/// What a command wrote, without its last newline; long output is cut in the middle.
pub(crate) fn output(text: &str) {
    const HEAD: usize = 12;
    const TAIL: usize = 4;
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if lines.len() > HEAD + TAIL && number == HEAD {
            note(&format!("  … {} lines", lines.len() - HEAD - TAIL));
        }
        if lines.len() <= HEAD + TAIL || number < HEAD || number >= lines.len() - TAIL {
            print(&format!("{line}\n"));
        }
    }
}

/// Writes to stdout; a reader that went away ends the demo.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).expect("somebody reads the demo");
}

fn paint(style: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}
