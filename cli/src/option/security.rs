//! `--security-opt`: seccomp profiles are read here, the rest is the daemon's.

use crate::error::io_text;
use crate::output::units::quote;

/// Largest seccomp profile, in bytes.
const MAX_PROFILE: u64 = 16 << 20;

/// The options as the API takes them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) options: Vec<String>,
    /// `systempaths=unconfined`: no path is masked or read-only.
    pub(crate) unmasked: bool,
}

/// Reads all values.
pub(crate) fn parse(words: &[String]) -> Result<Security, String> {
    let mut security = Security::default();
    for word in words {
        let pair = word.split_once('=').or_else(|| word.split_once(':'));
        let plain = word == "no-new-privileges";
        let (key, value) = match pair {
            Some((key, value)) if !value.is_empty() || key == "no-new-privileges" => (key, value),
            None if plain => (word.as_str(), ""),
            _ => return Err(format!("Invalid --security-opt: {}", quote(word))),
        };
        if word == "systempaths=unconfined" {
            security.unmasked = true;
        } else if key == "seccomp" && !matches!(value, "unconfined" | "builtin") {
            security.options.push(format!("seccomp={}", profile(value)?));
        } else {
            security.options.push(word.clone());
        }
    }
    Ok(security)
}

fn profile(path: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| {
        format!("opening seccomp profile ({path}) failed: open {path}: {}", io_text(&error))
    };
    if std::fs::metadata(path).map_err(failed)?.len() > MAX_PROFILE {
        return Err(format!("opening seccomp profile ({path}) failed: too large"));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("compacting json for seccomp profile ({path}) failed: {error}"))?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_sent_inline() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("p.json");
        std::fs::write(&path, "{ \"b\": 1,\n \"a\": [] }").expect("written");
        let words = [
            format!("seccomp={}", path.display()),
            "no-new-privileges".into(),
            "systempaths=unconfined".into(),
        ];
        let security = parse(&words).expect("valid");
        assert_eq!(security.options, ["seccomp={\"b\":1,\"a\":[]}", "no-new-privileges"]);
        assert!(security.unmasked);
    }

    #[test]
    fn errors() {
        assert_eq!(parse(&["x".into()]), Err("Invalid --security-opt: \"x\"".into()));
        assert!(
            parse(&["seccomp=/nowhere".into()])
                .expect_err("missing")
                .starts_with("opening seccomp profile (/nowhere) failed:")
        );
    }
}
