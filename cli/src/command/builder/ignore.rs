//! `.dockerignore`: patterns of what is not sent to the daemon. The last one that matches decides.
//!
//! `*` and `?` stay in one part of a path, `**` crosses parts, `[a-z]` is a class, `!` takes back.

use std::path::Path;

/// The patterns of a file.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    takes_back: bool,
}

impl Ignore {
    /// Reads the text of a file.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines().filter(|line| !line.starts_with('#'));
        let patterns = lines.map(str::trim).filter_map(|line| {
            let (takes_back, line) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let text = clean(line);
            (!text.is_empty()).then_some(Pattern { text, takes_back })
        });
        Self { patterns: patterns.collect() }
    }

    /// Also ignores, or with `!` keeps, what matches `pattern`.
    pub(super) fn keep(&mut self, path: &str) {
        self.patterns.push(Pattern { text: clean(path), takes_back: true });
    }

    /// Whether something below an ignored directory may be wanted all the same.
    pub(super) fn takes_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }

    /// Whether `path` is left out: itself or a directory above it matches.
    pub(super) fn ignores(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        let mut ignored = false;
        for pattern in &self.patterns {
            if pattern.takes_back != ignored {
                continue;
            }
            let mut ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
            if ends.any(|end| matches(pattern.text.as_bytes(), path[..end].as_bytes())) {
                ignored = !pattern.takes_back;
            }
        }
        ignored
    }
}

/// A pattern without leading and trailing slashes and dots that mean nothing.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', b'/', rest @ ..] => {
            matches(rest, text)
                || text.iter().enumerate().any(|(at, byte)| *byte == b'/' && matches(rest, &text[at + 1..]))
        }
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let part = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=part).any(|at| matches(rest, &text[at..]))
        }
        [b'?', rest @ ..] => text.first().is_some_and(|byte| *byte != b'/') && matches(rest, &text[1..]),
        [b'[', rest @ ..] => class(rest, text),
        [b'\\', literal, rest @ ..] => text.first() == Some(literal) && matches(rest, &text[1..]),
        [literal, rest @ ..] => text.first() == Some(literal) && matches(rest, &text[1..]),
    }
}

/// `[a-z]` and `[^a-z]`; `pattern` begins after the bracket.
fn class(pattern: &[u8], text: &[u8]) -> bool {
    let Some(&byte) = text.first() else { return false };
    let (negated, mut rest) = match pattern {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        match rest {
            [] => return false,
            [b']', after @ ..] => return found != negated && byte != b'/' && matches(after, &text[1..]),
            [low, b'-', high, after @ ..] if *high != b']' => {
                found |= (*low..=*high).contains(&byte);
                rest = after;
            }
            [one, after @ ..] => {
                found |= *one == byte;
                rest = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ignore, Path};

    #[test]
    fn patterns() {
        for (pattern, path, ignored) in [
            ("*", "a", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "d/a.txt", false),
            ("**/*.txt", "d/e/a.txt", true),
            ("**/*.txt", "a.txt", true),
            ("d", "d/a.txt", true),
            ("d/", "d/a.txt", true),
            ("/d/", "d", true),
            ("d/*", "d/e/f", true),
            ("d/**/f", "d/e/x/f", true),
            ("a?c", "abc", true),
            ("a?c", "a/c", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("a\\*", "a*", true),
            ("./x/../y", "y", true),
            ("# note", "# note", false),
        ] {
            assert_eq!(Ignore::parse(pattern).ignores(Path::new(path)), ignored, "{pattern} {path}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let ignore = Ignore::parse("*.md\n!README.md\nREADME-secret.md\n");
        let ignored = |path: &str| ignore.ignores(Path::new(path));
        assert!(ignored("a.md") && !ignored("README.md") && ignored("README-secret.md"));
        let ignore = Ignore::parse("d\n!d/keep\n");
        assert!(ignore.ignores(Path::new("d/x")) && !ignore.ignores(Path::new("d/keep")));
    }
}
