//! `format/`: templates that name what was mounted before.
//!
//! ```text
//! {{ mount 0 }}      where mount 0 is
//! {{ source 0 }}     its source
//! {{ target 0 }}     its target
//! {{ overlay 2 0 }}  where mounts 2, 1 and 0 are, joined by colons
//! ```
//! This much of Go's templates, with their `-` that eats the spaces beside it.

use dhow_proto::containerd::types::{ActiveMount, Mount};

use super::error::StepError;

/// Fills the templates of `mount` in.
pub(super) fn apply(mut mount: Mount, active: &[ActiveMount]) -> Result<Mount, StepError> {
    mount.source = fill(&mount.source, active)?;
    mount.target = fill(&mount.target, active)?;
    for option in &mut mount.options {
        *option = fill(option, active)?;
    }
    Ok(mount)
}

fn fill(text: &str, active: &[ActiveMount]) -> Result<String, StepError> {
    let failed = |problem: &str| StepError::Template { text: text.to_owned(), problem: problem.to_owned() };
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, template)) = rest.split_once("{{") {
        let (action, after) = template.split_once("}}").ok_or_else(|| failed("unclosed action"))?;
        let (before, action) = match action.strip_prefix("- ") {
            Some(action) => (before.trim_end(), action),
            None => (before, action),
        };
        let (action, after) = match action.strip_suffix(" -") {
            Some(action) => (action, after.trim_start()),
            None => (action, after),
        };
        filled.push_str(before);
        filled.push_str(&evaluate(action, active).map_err(|problem| failed(&problem))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn evaluate(action: &str, active: &[ActiveMount]) -> Result<String, String> {
    let mut words = action.split_whitespace();
    let function = words.next().unwrap_or_default();
    let arguments: Vec<usize> = words
        .map(|word| word.parse().map_err(|_| format!("{word:?} is no number of a mount")))
        .collect::<Result<_, _>>()?;
    let at = |index: usize| {
        let problem = || format!("index out of bounds: {index}, has {} active mounts", active.len());
        active.get(index).ok_or_else(problem)
    };
    let mount = |index: usize| at(index).map(|active| active.mount.clone().unwrap_or_default());
    match (function, arguments.as_slice()) {
        ("source", [index]) => mount(*index).map(|mount| mount.source),
        ("target", [index]) => mount(*index).map(|mount| mount.target),
        ("mount", [index]) => at(*index).map(|active| active.mount_point.clone()),
        ("overlay", [first, last]) => {
            let mut range: Vec<usize> = (*first.min(last)..=*first.max(last)).collect();
            if first > last {
                range.reverse();
            }
            let points: Result<Vec<&str>, String> =
                range.into_iter().map(|index| at(index).map(|active| active.mount_point.as_str())).collect();
            points.map(|points| points.join(":"))
        }
        ("source" | "target" | "mount" | "overlay", _) => {
            Err(format!("wrong number of arguments for {function}"))
        }
        _ => Err(format!("function {function:?} not defined")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_name_earlier_mounts() {
        let active = |number: usize| {
            let mount =
                Mount { source: format!("s{number}"), target: format!("t{number}"), ..Mount::default() };
            ActiveMount { mount: Some(mount), mount_point: format!("/m/{number}"), ..ActiveMount::default() }
        };
        let active = [active(0), active(1), active(2)];
        let cases = [
            ("plain", "plain"),
            ("{{source 0}},{{ target 1 }}", "s0,t1"),
            ("lowerdir={{ overlay 2 0 }}", "lowerdir=/m/2:/m/1:/m/0"),
            ("{{ overlay 0 1 }}", "/m/0:/m/1"),
            ("a {{- mount 2 -}} b", "a/m/2b"),
            ("{{mount 1}}/upper", "/m/1/upper"),
        ];
        for (text, expected) in cases {
            assert_eq!(fill(text, &active).expect(text), expected);
        }
        for text in
            ["{{ mount 3 }}", "{{ mount", "{{ mount x }}", "{{ mount }}", "{{ env 0 }}", "{{ overlay 0 9 }}"]
        {
            assert!(fill(text, &active).is_err(), "{text}");
        }
    }
}
