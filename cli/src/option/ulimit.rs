//! `--ulimit NAME=SOFT[:HARD]`

use dhow_engine_api::container::Ulimit;

/// Limits that Linux has.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads one limit.
pub(crate) fn parse(text: &str) -> Result<Ulimit, String> {
    let invalid = || format!("invalid ulimit argument: {text}");
    let (name, value) = text.split_once('=').ok_or_else(invalid)?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |text: &str| -> Result<i64, String> {
        text.parse().map_err(|_| format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))
    };
    let limits: Vec<&str> = value.split(':').collect();
    let (soft, hard) = match limits[..] {
        [soft] => (number(soft)?, number(soft)?),
        [soft, hard] => (number(soft)?, number(hard)?),
        _ => {
            return Err(format!(
                "too many limit value arguments - {value}, can only have up to two, `soft[:hard]`"
            ));
        }
    };
    if hard != -1 && (soft == -1 || soft > hard) {
        let soft = if soft == -1 { "-1 (unlimited)".to_owned() } else { soft.to_string() };
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {} > {hard}", soft));
    }
    Ok(Ulimit { name: name.to_owned(), hard, soft })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert_eq!(parse("nofile=1024"), Ok(Ulimit { name: "nofile".into(), hard: 1024, soft: 1024 }));
        assert_eq!(parse("core=-1:-1"), Ok(Ulimit { name: "core".into(), hard: -1, soft: -1 }));
        assert_eq!(parse("nofile"), Err("invalid ulimit argument: nofile".into()));
        assert_eq!(parse("foo=1"), Err("invalid ulimit type: foo".into()));
        assert!(parse("nofile=2:1").is_err());
    }
}
