//! `--restart no|always|unless-stopped|on-failure[:COUNT]`

use dhow_engine_api::container::RestartPolicy;

/// Reads a policy.
pub(crate) fn parse(text: &str) -> Result<RestartPolicy, String> {
    if text.is_empty() {
        return Ok(RestartPolicy::default());
    }
    let (name, count) = text.split_once(':').unwrap_or((text, ""));
    if text.contains(':') && name.is_empty() {
        return Err("invalid restart policy format: no policy provided before colon".into());
    }
    let maximum_retry_count = if count.is_empty() {
        0
    } else {
        count
            .parse()
            .map_err(|_| "invalid restart policy format: maximum retry count must be an integer".to_owned())?
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn policies() {
        assert_eq!(
            parse("on-failure:3").map(|policy| (policy.name, policy.maximum_retry_count)),
            Ok(("on-failure".into(), 3))
        );
        assert_eq!(parse("always").map(|policy| policy.maximum_retry_count), Ok(0));
        assert!(parse("on-failure:x").is_err());
        assert!(parse(":3").is_err());
    }
}
