//! One line of comma-separated values, as Go's `encoding/csv` reads it.

/// The fields of `line`.
pub(crate) fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut chars = line.chars().enumerate().peekable();
    loop {
        let mut field = String::new();
        if chars.next_if(|(_, c)| *c == '"').is_some() {
            loop {
                match chars.next() {
                    Some((_, '"')) if chars.next_if(|(_, c)| *c == '"').is_some() => field.push('"'),
                    Some((_, '"')) => break,
                    Some((_, c)) => field.push(c),
                    None => {
                        let column = line.chars().count() + 1;
                        return Err(format!(
                            "parse error on line 1, column {column}: extraneous or missing \" in quoted-field"
                        ));
                    }
                }
            }
            match chars.peek() {
                None | Some((_, ',')) => {}
                Some((index, _)) => {
                    return Err(format!(
                        "parse error on line 1, column {}: extraneous or missing \" in quoted-field",
                        index + 1
                    ));
                }
            }
        } else {
            while let Some((index, c)) = chars.next_if(|(_, c)| *c != ',') {
                if c == '"' {
                    return Err(format!(
                        "parse error on line 1, column {}: bare \" in non-quoted-field",
                        index + 1
                    ));
                }
                field.push(c);
            }
        }
        fields.push(field);
        if chars.next().is_none() {
            return Ok(fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fields;

    #[test]
    fn quotes_protect_commas() {
        assert_eq!(fields(r#"a=1,"b=2,3",c="#), Ok(vec!["a=1".into(), "b=2,3".into(), "c=".into()]));
        assert_eq!(fields(r#""a""b""#), Ok(vec!["a\"b".into()]));
        assert!(fields(r#"a"b"#).is_err());
        assert!(fields(r#""a"#).is_err());
    }
}
