//! What runc does with the same words.

use super::*;
use crate::command::VERBS;

/// The flags and positional words of `line`, a verb's own before global ones.
fn sorted(verb: &str, line: &str) -> Result<String, String> {
    let entry = VERBS.iter().find(|entry| entry.name == verb).expect("a verb");
    let (own, global) = (entry.define(), crate::options::Options::definition());
    let mut places = [Flags::of(&own), Flags::of(&global)];
    let mut words = line.split(' ').map(OsString::from);
    let mut positional =
        sort(&mut words, &mut places, own_positionals(&own)).map_err(|error| error.to_string())?;
    positional.extend(words);
    let [own, global] = places.map(|place| place.found);
    let parts =
        [own, global, positional].map(|part| part.join(OsStr::new(" ")).to_string_lossy().into_owned());
    Ok(parts.join(" | "))
}

#[test]
fn flags_are_gos() {
    for (verb, line, expected) in [
        ("list", "-quiet", "--quiet |  | "),
        ("list", "-q=1", "--quiet |  | "),
        ("list", "--quiet=", "--quiet |  | "),
        ("list", "--quiet --quiet=F", " |  | "),
        ("list", "--quiet=false -q", "--quiet |  | "),
        ("list", "-f json", "--format=json |  | "),
        ("list", "-format=json", "--format=json |  | "),
        ("list", "--format json --format=", " |  | "),
        ("exec", "--env A= -e= c true", "--env=A= --env= |  | c true"),
        ("list", "--root /r -debug=TRUE", " | --root=/r --debug | "),
        ("spec", "--rootless", "--rootless |  | "),
        ("delete", "c --force", "--force |  | c"),
        ("delete", "-- -c", " |  | -c"),
        ("update", "--pids-limit -1 c", "--pids-limit=-1 |  | c"),
        ("run", "--bundle -b c", "--bundle=-b |  | c"),
        ("kill", "c -9", " |  | c -9"),
        ("kill", "-a c KILL", "--all |  | c KILL"),
        ("exec", "-t c ls -l --all", "--tty |  | c ls -l --all"),
        ("exec", "-no-new-privs=f c ls", "--no-new-privs=false |  | c ls"),
        ("ps", "c -ef", " |  | c -ef"),
        ("state", "-h", "--help |  | "),
    ] {
        assert_eq!(sorted(verb, line).as_deref(), Ok(expected), "{verb} {line}");
    }
}

#[test]
fn errors_are_gos() {
    for (verb, line, expected) in [
        ("list", "--bogus=3", "flag provided but not defined: -bogus"),
        ("exec", "-it c sh", "flag provided but not defined: -it"),
        ("list", "-fjson", "flag provided but not defined: -fjson"),
        ("list", "--format", "flag needs an argument: --format"),
        ("list", "--quiet=tRUE", "invalid value \"tRUE\" for flag -quiet: parse error"),
        ("list", "-debug=yes", "invalid value \"yes\" for flag -debug: parse error"),
    ] {
        assert_eq!(sorted(verb, line), Err(expected.to_owned()), "{verb} {line}");
    }
}
