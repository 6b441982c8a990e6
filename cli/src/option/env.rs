//! Environment variables and labels, from words and from files.

use crate::error::io_text;

/// Longest file of variables, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Variables of `files`, then those of `words`. A name without `=` takes its value from our own
/// environment, or is left out when it has none there.
pub(crate) fn variables(files: &[String], words: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for file in files {
        for line in lines(file)? {
            match inherited(&line) {
                Some(variable) if line.contains('=') || variable != line => all.push(variable),
                _ => {}
            }
        }
    }
    for word in words {
        let name = word.split('=').next().unwrap_or("");
        if name.is_empty() {
            return Err(format!("invalid environment variable: {word}"));
        }
        all.push(inherited(word).unwrap_or_else(|| word.clone()));
    }
    Ok(all)
}

/// Labels of `files`, then those of `words`.
pub(crate) fn labels(files: &[String], words: &[String]) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    for file in files {
        all.extend(lines(file)?);
    }
    for word in words {
        if word.split('=').next().is_some_and(|name| name.trim().is_empty()) {
            return Err(format!("invalid label '{word}': empty name"));
        }
        all.push(word.clone());
    }
    Ok(all)
}

fn inherited(word: &str) -> Option<String> {
    if word.contains('=') {
        return Some(word.to_owned());
    }
    std::env::var(word).ok().map(|value| format!("{word}={value}"))
}

/// The lines of a file that are neither empty nor comments.
fn lines(path: &str) -> Result<Vec<String>, String> {
    let failed = |error: &std::io::Error| format!("open {path}: {}", io_text(error));
    let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > MAX_FILE {
        return Err(format!("{path}: too large"));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("invalid env file ({path}): invalid utf8 bytes at line {}", line + 1)
    })?;
    let mut lines = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split('=').next().unwrap_or("");
        if name.contains([' ', '\t']) {
            return Err(format!("invalid env file ({path}): variable '{name}' contains whitespaces"));
        }
        if name.is_empty() {
            return Err(format!("invalid env file ({path}): no variable name on line '{line}'"));
        }
        lines.push(line.to_owned());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("env");
        std::fs::write(&path, "# comment\n\n A=1 \nB=\nDHOW_NOT_SET_ANYWHERE\n").expect("written");
        let path = path.display().to_string();
        assert_eq!(variables(&[path], &["C=3".into()]), Ok(vec!["A=1 ".into(), "B=".into(), "C=3".into()]));
    }

    #[test]
    fn bad_lines_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("env");
        std::fs::write(&path, "A B=1\n").expect("written");
        let path = path.display().to_string();
        assert_eq!(
            variables(std::slice::from_ref(&path), &[]),
            Err(format!("invalid env file ({path}): variable 'A B' contains whitespaces"))
        );
        assert!(
            variables(&["/nowhere/env".into()], &[])
                .expect_err("missing")
                .contains("no such file or directory")
        );
        assert_eq!(variables(&[], &["=x".into()]), Err("invalid environment variable: =x".into()));
    }
}
