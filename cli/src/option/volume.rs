//! `-v`: anonymous volumes, named volumes and binds.

use std::path::Path;

/// What one `-v` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Volume {
    /// A volume without a name at a path.
    Anonymous(String),
    /// A bind or a named volume, as the API takes it.
    Bind(String),
}

/// Reads one value; relative sources are taken from the working directory. What is no sense of
/// either kind is left for the daemon to refuse.
pub(crate) fn parse(spec: &str) -> Volume {
    let Some((source, rest)) =
        spec.split_once(':').filter(|(source, _)| spec.len() > 2 && !source.is_empty())
    else {
        return Volume::Anonymous(spec.to_owned());
    };
    match absolute(source).ok().filter(|_| source.starts_with('.')) {
        Some(absolute) => Volume::Bind(format!("{absolute}:{rest}")),
        None => Volume::Bind(spec.to_owned()),
    }
}

/// The absolute path of `path`, cleaned of dots, links untouched.
pub(crate) fn absolute(path: &str) -> std::io::Result<String> {
    let whole = if path.starts_with('/') { path.into() } else { std::env::current_dir()?.join(path) };
    Ok(clean(&whole))
}

/// `path` without `.`, `..` and doubled slashes, as Go cleans an absolute path.
pub(crate) fn clean(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let text = path.to_string_lossy();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        assert_eq!(parse("/data"), Volume::Anonymous("/data".into()));
        assert_eq!(parse("name:/data:ro"), Volume::Bind("name:/data:ro".into()));
        assert_eq!(parse("/a:/b:ro,z"), Volume::Bind("/a:/b:ro,z".into()));
        let here = std::env::current_dir().expect("a directory").display().to_string();
        assert_eq!(parse("./x:/b"), Volume::Bind(format!("{here}/x:/b")));
    }
}
