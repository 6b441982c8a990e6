//! JSON as Go writes it: indentation that keeps the sender's order and spelling, and encoding of
//! values for `{{json .}}`.

use serde_json::Value;

/// Re-indents a JSON text without reordering or respelling anything in it.
pub(crate) fn indent(source: &str, prefix: &str, indent: &str) -> String {
    let mut out = String::with_capacity(source.len() * 2);
    let mut depth = 0usize;
    let mut chars = source.chars().peekable();
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(prefix);
        for _ in 0..depth {
            out.push_str(indent);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push('"');
                while let Some(c) = chars.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.peek().is_some_and(|c| c.is_ascii_whitespace()) {
                    chars.next();
                }
                if let Some(end) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// One line of JSON.
pub(crate) fn compact(value: &Value) -> String {
    let mut text = value.to_string();
    // Go escapes these two even with its HTML escaping off.
    if text.contains(['\u{2028}', '\u{2029}']) {
        text = text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::indent;

    #[test]
    fn order_and_spelling_survive() {
        assert_eq!(
            indent(r#"[{"b":1.0,"a":{},"c":[ ],"d":"x\"{,"}]"#, "", "    "),
            "[\n    {\n        \"b\": 1.0,\n        \"a\": {},\n        \"c\": [],\n        \"d\": \"x\\\"{,\"\n    }\n]"
        );
    }
}
