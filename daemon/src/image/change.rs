//! Changes: the Dockerfile instructions that `import` and `commit` apply to a config. Pure.

use dhow_engine_api::Empty;
use dhow_engine_api::container::{ContainerConfig, HealthConfig};

use super::error::ImageError;

const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Applies instructions such as `ENV A=1` or `CMD ["sh"]`, in order.
pub(crate) fn apply(config: &mut ContainerConfig, changes: &[&str]) -> Result<(), ImageError> {
    for change in changes.iter().flat_map(|change| change.lines()) {
        let change = change.trim();
        if change.is_empty() || change.starts_with('#') {
            continue;
        }
        let (name, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
        instruction(config, &name.to_uppercase(), rest.trim())
            .ok_or_else(|| ImageError::Invalid(format!("invalid change: {change:?}")))?;
    }
    Ok(())
}

/// Applies one; `None` when it is not one, or its arguments are not its.
fn instruction(config: &mut ContainerConfig, name: &str, rest: &str) -> Option<()> {
    if rest.is_empty() {
        return None;
    }
    match name {
        "CMD" => config.cmd = Some(command(rest, config)?),
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(rest, config)?);
            // The command of another program means nothing to this one.
            config.cmd = None;
        }
        "ENV" => {
            for (name, value) in pairs(rest)? {
                let entry = format!("{name}={value}");
                let list = config.env.get_or_insert_default();
                match list.iter_mut().find(|old| old.split('=').next() == Some(name.as_str())) {
                    Some(old) => *old = entry,
                    None => list.push(entry),
                }
            }
        }
        "LABEL" => config.labels.get_or_insert_default().extend(pairs(rest)?),
        "EXPOSE" => {
            for port in words(rest)? {
                config.exposed_ports.get_or_insert_default().extend(ports(&port)?);
            }
        }
        "VOLUME" => {
            let paths = list(rest).or_else(|| words(rest))?;
            let volumes = config.volumes.get_or_insert_default();
            volumes.extend(paths.into_iter().map(|path| (path, Empty::default())));
        }
        "USER" => config.user = one(rest)?,
        "WORKDIR" => config.working_dir = working_directory(&config.working_dir, &one(rest)?),
        "STOPSIGNAL" => config.stop_signal = one(rest)?,
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
        "SHELL" => config.shell = Some(list(rest)?),
        "HEALTHCHECK" => config.healthcheck = Some(health(rest)?),
        _ => return None,
    }
    Some(())
}

/// `["a", "b"]`, or a line for the shell.
fn command(text: &str, config: &ContainerConfig) -> Option<Vec<String>> {
    if text.starts_with('[')
        && let Some(words) = list(text)
    {
        return Some(words);
    }
    let shell = config.shell.clone().unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
    Some(shell.into_iter().chain([text.to_owned()]).collect())
}

fn list(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

fn one(text: &str) -> Option<String> {
    let words = words(text)?;
    <[String; 1]>::try_from(words).ok().map(|[word]| word)
}

/// `A=1 B="2 3"`, or the old form `A 1 2`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text)?;
    if !words.first()?.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    words.into_iter().map(|word| pair(word).filter(|(name, _)| !name.is_empty())).collect()
}

/// Words parted by blanks, with quotes and backslashes as a shell takes them; `None` when a quote is left open.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            (_, Some(open)) if character == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().push(characters.next()?),
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (_, None) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// `80`, `53/udp`, `8000-8002`.
fn ports(text: &str) -> Option<Vec<(String, Empty)>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let known = matches!(protocol, "tcp" | "udp" | "sctp") && first <= last;
    known.then(|| (first..=last).map(|port| (format!("{port}/{protocol}"), Empty::default())).collect())
}

fn working_directory(before: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    format!("{}/{path}", before.trim_end_matches('/'))
}

/// `NONE`, or `[--interval=30s …] CMD …`.
fn health(text: &str) -> Option<HealthConfig> {
    let mut health = HealthConfig::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace)?;
        let (name, value) = flag.split_once('=')?;
        match name {
            "interval" => health.interval = nanoseconds(value)?,
            "timeout" => health.timeout = nanoseconds(value)?,
            "start-period" => health.start_period = nanoseconds(value)?,
            "start-interval" => health.start_interval = nanoseconds(value)?,
            "retries" => health.retries = value.parse().ok()?,
            _ => return None,
        }
        rest = after.trim_start();
    }
    let (kind, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    health.test = Some(match kind.to_uppercase().as_str() {
        "NONE" if arguments.is_empty() => vec!["NONE".to_owned()],
        "CMD" if !arguments.is_empty() => match list(arguments) {
            Some(words) => std::iter::once("CMD".to_owned()).chain(words).collect(),
            None => vec!["CMD-SHELL".to_owned(), arguments.to_owned()],
        },
        _ => return None,
    });
    Some(health)
}

/// Go's durations (`1m30s`, `500ms`).
fn nanoseconds(text: &str) -> Option<i64> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    i64::try_from(span.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> ContainerConfig {
        let mut config = ContainerConfig::default();
        apply(&mut config, changes).unwrap_or_else(|error| panic!("{error}"));
        config
    }

    fn owned(words: &[&str]) -> Option<Vec<String>> {
        Some(words.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn commands_have_two_forms() {
        assert_eq!(changed(&[r#"CMD ["sh", "-c", "x"]"#]).cmd, owned(&["sh", "-c", "x"]));
        assert_eq!(changed(&["cmd echo hi"]).cmd, owned(&["/bin/sh", "-c", "echo hi"]));
        let config = changed(&["CMD a", r#"ENTRYPOINT ["b"]"#]);
        assert_eq!((config.cmd, config.entrypoint), (None, owned(&["b"])));
    }

    #[test]
    fn names_and_values_are_read_as_a_shell_does() {
        let config =
            changed(&[r#"ENV A=1 B="x y" C=a\ b"#, "ENV A 2 3", "LABEL k='v w'\nEXPOSE 80 53/udp 90-91"]);
        assert_eq!(config.env, owned(&["A=2 3", "B=x y", "C=a b"]));
        assert_eq!(config.labels.expect("labels")["k"], "v w");
        let ports: Vec<_> = config.exposed_ports.expect("ports").into_keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "90/tcp", "91/tcp"]);
    }

    #[test]
    fn the_rest_is_taken_too() {
        let config = changed(&[
            "WORKDIR /a",
            "WORKDIR b",
            "USER me",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=5s --retries=2 CMD [\"true\"]",
            "VOLUME /data /more",
        ]);
        assert_eq!(
            (config.working_dir.as_str(), config.user.as_str(), config.stop_signal.as_str()),
            ("/a/b", "me", "SIGINT")
        );
        let health = config.healthcheck.expect("a check");
        assert_eq!(
            (health.interval, health.retries, health.test),
            (5_000_000_000, 2, owned(&["CMD", "true"]))
        );
        assert_eq!(config.volumes.expect("volumes").len(), 2);
    }

    #[test]
    fn strangers_are_refused() {
        for change in ["RUN x", "FROM x", "ENV", "ENV A=\"open", "EXPOSE x", "CMD"] {
            assert!(apply(&mut ContainerConfig::default(), &[change]).is_err(), "{change}");
        }
    }
}
